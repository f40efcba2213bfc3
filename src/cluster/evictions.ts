import { type Clock, ErrorCode, type Logger, sleep, WarrenError } from '../core/index.ts'
import type { EventSink } from '../events/index.ts'
import { addressOfSpiffeId, type PeerKey, revocationOfAddress, revocationText } from '../identity/index.ts'
import type { Bundle } from '../policy/index.ts'
import type { Trust } from './trust.ts'

export interface EvictionsDeps {
  readonly trust: Trust
  /** DER chain of this host. */
  readonly ownChain: () => readonly Uint8Array[]
  readonly connected: () => readonly PeerKey[]
  /** Closes the connections to a host and dials it no more. */
  readonly forget: (peer: PeerKey) => Promise<void>
  /** Verifies the owners of the registry anew and drops those that no longer pass. */
  readonly verifyOwners: () => void
  /** Takes members out of what is dialled after a restart. */
  readonly forgetMembers: (isGone: (peer: PeerKey) => boolean) => void
  readonly events: EventSink
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
}

/** How long a refused host stays connected, to hear of it from us: everything else of it ends at once. */
const FAREWELL_MS = 250
const TELL_AGAIN_MS = 60_000

/** Carries out on this agent whatever revocations the policy in force holds, and knows whether they concern itself. */
export class Evictions {
  readonly #deps: EvictionsDeps
  #own: string | undefined
  #told: string | undefined
  #ids = ''
  #pending = false
  #toldAtMs = Number.NEGATIVE_INFINITY

  constructor(deps: EvictionsDeps) {
    this.#deps = deps
  }

  /** Why this host is trusted no more, by the admin's signature; undefined for a host in good standing. */
  get own(): string | undefined {
    return this.#own
  }

  /** The same, or what other hosts say while none of them lets this one in. For people; nothing is done upon it. */
  get evictionReason(): string | undefined {
    return this.#own ?? (this.#deps.connected().length === 0 ? this.#told : undefined)
  }

  /** Lets every verdict from now on know of the revocations of a bundle. */
  onBundle({ revocations }: Bundle): void {
    const { trust, ownChain, events, log } = this.#deps
    // By their ids, which are never given twice: a change of rules must not have every host verified anew.
    const ids = revocations.map(({ id }) => id).join()
    this.#pending ||= ids !== this.#ids
    this.#ids = ids
    trust.setRevocations(revocations)
    const verdict = trust.verify(ownChain())
    const own = !verdict.ok && verdict.reason === 'revoked' ? verdict.detail : undefined
    const before = this.#own
    this.#own = own
    if (own !== undefined && own !== before) {
      log.error(`this host was evicted: ${own}`)
      events.emit('evicted', { reason: own })
    }
    if (own === undefined && before !== undefined) {
      log.warn('the eviction of this host was taken back')
      events.emit('eviction-undone', {})
    }
  }

  /** Drops what belongs to hosts that are revoked by now: their records at once, their connections a moment later. */
  carryOut(): void {
    if (!this.#pending) return
    this.#pending = false
    this.#deps.verifyOwners()
    for (const peer of this.#deps.connected()) this.checkPeer(peer)
    this.#deps.forgetMembers(peer => this.#deps.trust.revokedPeer(peer) !== undefined)
  }

  /** Ends the connection to a host that was admitted just before it was revoked. */
  checkPeer(peer: PeerKey): void {
    const { trust, forget, log, signal } = this.#deps
    const reason = trust.revokedPeer(peer)
    if (reason === undefined) return
    log.warn('connections to a revoked host are closed', { peer, reason })
    sleep(FAREWELL_MS, signal)
      // Asked again: it may have been let in again meanwhile.
      .then(() => (trust.revokedPeer(peer) === undefined ? undefined : forget(peer)))
      .catch((err: unknown) => {
        if (!signal.aborted) log.error('connections to a revoked host were not closed', { peer, err })
      })
  }

  /** Another host refuses us and says why. */
  onRefused(machine: string, reason: string): void {
    const { clock, log } = this.#deps
    const now = clock.monotonicMs()
    this.#told = `${machine} says: ${reason}`
    if (this.#own !== undefined || now - this.#toldAtMs < TELL_AGAIN_MS) return
    this.#toldAtMs = now
    log.error(`this host seems to be evicted: ${this.#told}`)
  }

  /** Another host lets us in. */
  onAdmitted(): void {
    this.#told = undefined
  }

  /** Throws REVOKED when a workload of this host may not be who it says: it, or the host itself, is revoked. */
  requireNotRevoked(spiffeId: string): void {
    const { trustDomain, revocations } = this.#deps.trust.state
    if (this.#own !== undefined) {
      throw new WarrenError(ErrorCode.Revoked, this.#own, {
        hint: 'To return, empty the state directory and join again with a new token.'
      })
    }
    const address = addressOfSpiffeId(trustDomain, spiffeId)
    const revocation = address === undefined ? undefined : revocationOfAddress(revocations, address)
    if (address === undefined || revocation === undefined) return
    throw new WarrenError(ErrorCode.Revoked, revocationText(address, revocation), {
      hint: `The founding host can take it back: warren unrevoke ${revocation.id}.`
    })
  }

  /** The same issuer of SVIDs, but for those that are revoked. */
  guard<T>(issue: (spiffeId: string) => Promise<T>): (spiffeId: string) => Promise<T> {
    return async spiffeId => {
      this.requireNotRevoked(spiffeId)
      return await issue(spiffeId)
    }
  }
}
