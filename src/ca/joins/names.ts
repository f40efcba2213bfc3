import type { Clock } from '../../core/index.ts'
import { evictedAtMs, type PeerKey, type Revocation } from '../../identity/index.ts'
import type { JoinStore } from '../../state/index.ts'

export interface JoinNamesDeps {
  readonly machine: string
  readonly ledger: JoinStore
  /** The member of this name, if there is one now. */
  readonly peerOf: (machine: string) => PeerKey | undefined
  /** The host whose certificate has this name and could still be renewed, if one is known here and was not evicted. */
  readonly knownAs?: (machine: string) => { readonly peer: PeerKey; readonly ephemeral: boolean } | undefined
  readonly revocations: () => readonly Revocation[]
  readonly clock: Clock
}

/** An ephemeral host that was never seen after its admission, or not since this agent started, has its name for this long. */
const UNSEEN_MS = 90_000

/** Whose the names of machines are, for proofs that admit hosts by a pattern. */
export class JoinNames {
  readonly #deps: JoinNamesDeps
  readonly #startedAtMs: number

  constructor(deps: JoinNamesDeps) {
    this.#deps = deps
    this.#startedAtMs = deps.clock.wallMs()
  }

  /** The reason why a name belongs to another host than `peer`; undefined if it is free. */
  taken(machine: string, peer: PeerKey): string | undefined {
    const { ledger, peerOf, knownAs, revocations, clock } = this.#deps
    if (machine === this.#deps.machine) return 'this is the name of the authority'
    const holder = peerOf(machine)
    if (holder !== undefined && holder !== peer) return 'a host of this name is a member'
    const other = ledger.waitingAs(machine)
    if (other !== undefined && other.peer !== peer) return 'another host of this name waits to be admitted'
    const known = knownAs?.(machine)
    if (known !== undefined && known.peer !== peer && !known.ephemeral)
      return 'a host of this name is a member, and away'
    const last = ledger.lastOf(machine)
    if (last === undefined || last.peer === peer || last.usedAtMs < evictedAtMs(revocations(), machine))
      return undefined
    const since = new Date(last.usedAtMs).toISOString()
    if (!last.ephemeral) return `a host of this name joined at ${since}, and was not evicted`
    const isUnseen = clock.wallMs() - Math.max(last.usedAtMs, this.#startedAtMs) < UNSEEN_MS
    return last.leftAtMs === undefined && isUnseen ? `a host of this name joined at ${since}` : undefined
  }

  /** An ephemeral host has left, or its lease has ended: its name is free. */
  left(peer: PeerKey): void {
    this.#deps.ledger.noteLeft(peer, this.#deps.clock.wallMs())
  }

  /** It is here again, with the keys that it had. */
  returned(peer: PeerKey): void {
    this.#deps.ledger.noteLeft(peer, undefined)
  }
}
