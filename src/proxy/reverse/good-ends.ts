import { formatHostPort, type HostPort, LruMap } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'

/** Hosts whose end is remembered. */
const MAX_REMEMBERED = 2_048

/** Remembers which of the ends of a host was reached last: a port that a firewall closes is not tried first each time. */
export class GoodEnds {
  readonly #last = new LruMap<PeerKey, string>(MAX_REMEMBERED)

  /** The ends of a host, the one that was reached last first. */
  ordered(peer: PeerKey, ends: readonly HostPort[]): HostPort[] {
    const last = this.#last.get(peer)
    const isLast = (end: HostPort): number => Number(formatHostPort(end) === last)
    return [...ends].sort((one, other) => isLast(other) - isLast(one))
  }

  reached(peer: PeerKey, end: HostPort): void {
    this.#last.set(peer, formatHostPort(end))
  }
}
