import { detach, ErrorCode, type Logger, WarrenError } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { Mesh } from '../mesh/index.ts'
import type { OwnerView } from '../registry/index.ts'

/** What the head of a member says that it has. */
export type Announced = Pick<OwnerView, 'policyVersion' | 'policySets' | 'trustVersion'>

export interface ConnectionPullsDeps {
  readonly mesh: Pick<Mesh, 'isConnected' | 'machineOf'>
  readonly registry: { readonly syncWith: (peer: PeerKey) => Promise<void> }
  /** By the newest head that is held; undefined without one. */
  readonly announced: (peer: PeerKey) => Announced | undefined
  readonly policy: {
    /** Of the root; zero before there is one. */
    readonly version: bigint
    /** This host has lost its policy: each member is asked, since also the answer that there is none counts. */
    readonly isLost: boolean
    /** Fetches a newer one. */
    readonly fetch: (peer: PeerKey) => Promise<void>
    readonly sets: {
      readonly inForce: { readonly digest: string }
      readonly exchange: { readonly fetch: (peer: PeerKey) => Promise<void> }
    }
  }
  readonly trust: { readonly version: bigint; readonly pull: (peer: PeerKey) => void }
  /** Called after each pull, with the machine there, if it has said everything that it knows. */
  readonly onSynchronised: (machine: string | undefined) => void
  readonly log: Logger
}

/** Pulls at a time. A joining host is connected to all hosts at once, and all would send it the same. */
const MAX_PULLS = 3
/** After this many pulls that began after a connection, its own is left out if nothing is known to be newer there. */
const ENOUGH_PULLS = 3

interface Waiting {
  readonly peer: PeerKey
  /** The number of pulls that had begun when the host connected. */
  readonly after: number
}

/**
 * Brings this host up to date over each new connection: the registry first, then what the head of the other host says that it has
 * newer. So two hosts that agree exchange one request, and a host that joins does not ask each member for the same.
 */
export class ConnectionPulls {
  readonly #deps: ConnectionPullsDeps
  /** Holds connected hosts, so their number limits its size. */
  readonly #waiting: Waiting[] = []
  /** The numbers of the last pulls that ended well, at most `ENOUGH_PULLS`, in order. */
  #done: number[] = []
  #pulling = 0
  #begun = 0

  constructor(deps: ConnectionPullsDeps) {
    this.#deps = deps
  }

  /** A host has connected. */
  readonly connected = (peer: PeerKey): void => {
    const waiting = { peer, after: this.#begun }
    const at = this.#waiting.findIndex(one => one.peer === peer)
    // It may be another process there: what was pulled before counts for that no more.
    if (at === -1) this.#waiting.push(waiting)
    else this.#waiting[at] = waiting
    this.#next()
  }

  #next(): void {
    while (this.#pulling < MAX_PULLS) {
      const waiting = this.#waiting.shift()
      if (waiting === undefined) return
      if (this.#deps.mesh.isConnected(waiting.peer) && !this.#isSettled(waiting)) this.#begin(waiting.peer)
    }
  }

  #begin(peer: PeerKey): void {
    const number = this.#begun
    this.#begun += 1
    this.#pulling += 1
    const pulled = this.#pull(peer)
      .then(() => {
        this.#done = [...this.#done, number].sort((a, b) => a - b).slice(-ENOUGH_PULLS)
      })
      .finally(() => {
        this.#pulling -= 1
        this.#next()
      })
    detach(this.#deps.log, 'synchronisation with a new connection', pulled)
  }

  // Others have told meanwhile what they know, of this host too. What they lacked comes by the sessions that follow each connection.
  #isSettled({ peer, after }: Waiting): boolean {
    const [first] = this.#done
    const isEnough = this.#done.length === ENOUGH_PULLS && first !== undefined && first >= after
    return isEnough && this.#hasPolicyOf(peer) && this.#hasSetsOf(peer) && !this.#lacksTrustOf(peer)
  }

  async #pull(peer: PeerKey): Promise<void> {
    const { mesh, registry, policy, trust, onSynchronised } = this.#deps
    // Now: it may be gone when it has answered.
    const machine = mesh.machineOf(peer)
    try {
      await registry.syncWith(peer)
    } catch (err) {
      // Each member counts then, also one whose registry cannot be had.
      if (policy.isLost) await policy.fetch(peer)
      throw err
    } finally {
      if (this.#lacksTrustOf(peer)) trust.pull(peer)
    }
    if (!this.#hasPolicyOf(peer)) await policy.fetch(peer)
    const hasSets = this.#hasSetsOf(peer) || (await this.#fetchSets(peer))
    onSynchronised(hasSets ? machine : undefined)
  }

  #hasPolicyOf(peer: PeerKey): boolean {
    const { announced, policy } = this.#deps
    const theirs = announced(peer)
    return theirs !== undefined && !policy.isLost && theirs.policyVersion <= policy.version
  }

  // An older program announces none, which equals no digest.
  #hasSetsOf(peer: PeerKey): boolean {
    const { announced, policy } = this.#deps
    const { digest } = policy.sets.inForce
    return digest !== '' && announced(peer)?.policySets === digest
  }

  #lacksTrustOf(peer: PeerKey): boolean {
    const { announced, trust } = this.#deps
    const theirs = announced(peer)
    return theirs === undefined || theirs.trustVersion > trust.version
  }

  // This host serves what it knows without them.
  async #fetchSets(peer: PeerKey): Promise<boolean> {
    const { policy, log } = this.#deps
    try {
      await policy.sets.exchange.fetch(peer)
      return true
    } catch (err) {
      log.debug('sets of admins not fetched', { peer, err })
      // An older program has none.
      return WarrenError.is(err, ErrorCode.Unsupported)
    }
  }
}
