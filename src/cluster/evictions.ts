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
  /** Closes the connections to a host and does not dial it again. */
  readonly forget: (peer: PeerKey) => Promise<void>
  /** Verifies the owners of the registry anew and drops those that are no longer valid. */
  readonly verifyOwners: () => void
  /** Removes members from the list that is dialled after a restart. */
  readonly forgetMembers: (isGone: (peer: PeerKey) => boolean) => void
  readonly events: EventSink
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
}

/** How long a refused host stays connected, to receive the reason from us: everything else of it ends at once. */
const FAREWELL_MS = 250
const TELL_AGAIN_MS = 60_000

/** Carries out the revocations of the policy in force on this agent, and knows whether they concern this host. */
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

  /** The reason why this host is no longer trusted, by the admin's signature; undefined for a trusted host. */
  get own(): string | undefined {
    return this.#own
  }

  /** The same, or the reason that other hosts give while none of them admits this one. For people; it has no effect. */
  get evictionReason(): string | undefined {
    return this.#own ?? (this.#deps.connected().length === 0 ? this.#told : undefined)
  }

  /** Applies the revocations of a bundle to every verdict from now on. */
  onBundle({ revocations }: Bundle): void {
    const { trust, ownChain, events, log } = this.#deps
    // Compared by ids, which are never reused: a change of rules must not cause every host to be verified anew.
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
      log.warn('the eviction of this host was withdrawn')
      events.emit('eviction-undone', {})
    }
  }

  /** Drops everything of hosts that are revoked now: their records at once, their connections a moment later. */
  carryOut(): void {
    if (!this.#pending) return
    this.#pending = false
    this.#deps.verifyOwners()
    for (const peer of this.#deps.connected()) this.checkPeer(peer)
    this.#deps.forgetMembers(peer => this.#deps.trust.revokedPeer(peer) !== undefined)
  }

  /** Closes the connection to a host that was admitted just before it was revoked. */
  checkPeer(peer: PeerKey): void {
    const { trust, forget, log, signal } = this.#deps
    const reason = trust.revokedPeer(peer)
    if (reason === undefined) return
    log.warn('connections to a revoked host are closed', { peer, reason })
    sleep(FAREWELL_MS, signal)
      // Checked again: it may have been admitted again meanwhile.
      .then(() => (trust.revokedPeer(peer) === undefined ? undefined : forget(peer)))
      .catch((err: unknown) => {
        if (!signal.aborted) log.error('connections to a revoked host were not closed', { peer, err })
      })
  }

  /** Another host refuses us and gives the reason. */
  onRefused(machine: string, reason: string): void {
    const { clock, log } = this.#deps
    const now = clock.monotonicMs()
    this.#told = `${machine} says: ${reason}`
    if (this.#own !== undefined || now - this.#toldAtMs < TELL_AGAIN_MS) return
    this.#toldAtMs = now
    log.error(`this host seems to be evicted: ${this.#told}`)
  }

  /** Another host admits us. */
  onAdmitted(): void {
    this.#told = undefined
  }

  /** Throws REVOKED when a workload of this host may not use its address: the workload, or the host itself, is revoked. */
  requireNotRevoked(spiffeId: string): void {
    const { trustDomain, revocations } = this.#deps.trust.state
    if (this.#own !== undefined) {
      throw new WarrenError(ErrorCode.Revoked, this.#own, {
        hint: 'To return, empty the state directory and join again with a new token; or the founding host undoes it: warren unrevoke ID.'
      })
    }
    const address = addressOfSpiffeId(trustDomain, spiffeId)
    const revocation = address === undefined ? undefined : revocationOfAddress(revocations, address)
    if (address === undefined || revocation === undefined) return
    throw new WarrenError(ErrorCode.Revoked, revocationText(address, revocation), {
      hint: `The founding host can withdraw it: warren unrevoke ${revocation.id}.`
    })
  }

  /** The same issuer of SVIDs, except for revoked workloads. */
  guard<Rest extends unknown[], T>(
    issue: (spiffeId: string, ...rest: Rest) => Promise<T>
  ): (spiffeId: string, ...rest: Rest) => Promise<T> {
    return async (spiffeId, ...rest) => {
      this.requireNotRevoked(spiffeId)
      return await issue(spiffeId, ...rest)
    }
  }
}
