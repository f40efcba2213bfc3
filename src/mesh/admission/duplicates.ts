import { type Clock, type Logger, LruMap } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { DuplicateHosts } from '../types.ts'

/** The answer to a host whose identity another connection uses. It is compared, so it must not change. */
export const DUPLICATE_REFUSAL = 'another process uses the identity of this host'

interface Seen {
  readonly machine: string
  /** Connections that were replaced by another one of the same host while they were in use. */
  replaced: number
  lastMs: number
  heldOffUntilMs: number
  toldAtMs: number
}

/** A host that loses its path may dial again before we notice: that is no sign of two. So many times in a row are. */
const REPLACED_TIMES = 3
/** Replacements further apart than this have nothing to do with each other. */
const IN_A_ROW_MS = 60_000
/** First pause between two replacements, doubled with each up to the second figure. */
const HOLD_OFF_MS = 5_000
const HOLD_OFF_MAX_MS = 60_000
/** An alarm is shown for this long after its last cause, and logged once in this time. */
const SHOWN_MS = 600_000
const MAX_HOSTS = 256

/**
 * Notices hosts whose identity two processes use: a cloned machine, or a copy of a state directory.
 *
 * Each of the two takes the place of the other's connection, as fast as both can dial. So a replacement is allowed only after
 * a pause, which grows; until then the newcomer is refused and learns why.
 */
export class Duplicates {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #log: Logger
  readonly #seen = new LruMap<PeerKey, Seen>(MAX_HOSTS)
  readonly #own = { lastMs: Number.NEGATIVE_INFINITY, toldAtMs: Number.NEGATIVE_INFINITY }

  constructor(clock: Pick<Clock, 'monotonicMs'>, log: Logger) {
    this.#clock = clock
    this.#log = log
  }

  /** Notes that a host has dialled again while its connection was in use. */
  replaced(peer: PeerKey, machine: string): void {
    const now = this.#clock.monotonicMs()
    const seen = this.#seen.get(peer)
    const isInARow = seen !== undefined && now - seen.lastMs < (isDuplicate(seen) ? SHOWN_MS : IN_A_ROW_MS)
    const next = isInARow
      ? seen
      : { machine, replaced: 0, lastMs: now, heldOffUntilMs: 0, toldAtMs: Number.NEGATIVE_INFINITY }
    next.replaced += 1
    next.lastMs = now
    this.#seen.set(peer, next)
    if (!isDuplicate(next)) return
    next.heldOffUntilMs = now + Math.min(HOLD_OFF_MAX_MS, HOLD_OFF_MS * 2 ** (next.replaced - REPLACED_TIMES))
    if (now - next.toldAtMs < SHOWN_MS) return
    next.toldAtMs = now
    this.#log.error('two processes use the identity of one host', { peer, machine })
  }

  /** Whether a host that dials must wait, since its connection in use is one of two processes. */
  isHeldOff(peer: PeerKey): boolean {
    const seen = this.#seen.get(peer)
    const now = this.#clock.monotonicMs()
    if (seen === undefined || now >= seen.heldOffUntilMs) return false
    seen.lastMs = now
    return true
  }

  /** Notes that another host, named `machine`, has refused this one for this reason. */
  ownRefused(machine: string): void {
    const now = this.#clock.monotonicMs()
    this.#own.lastMs = now
    if (now - this.#own.toldAtMs < SHOWN_MS) return
    this.#own.toldAtMs = now
    this.#log.error(DUPLICATE_REFUSAL, { reason: `${machine} has a connection to the other one` })
  }

  list(): DuplicateHosts {
    const now = this.#clock.monotonicMs()
    const others = [...this.#seen.values()].filter(seen => isDuplicate(seen) && now - seen.lastMs < SHOWN_MS)
    return { own: now - this.#own.lastMs < SHOWN_MS, machines: others.map(({ machine }) => machine) }
  }
}

function isDuplicate({ replaced }: Seen): boolean {
  return replaced >= REPLACED_TIMES
}
