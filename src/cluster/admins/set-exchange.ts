import {
  type Clock,
  ErrorCode,
  type Logger,
  LruMap,
  type Metrics,
  TokenBuckets,
  WarrenError,
  within
} from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import type { Admin, AdminKey, Bundle, SetReplica } from '../../policy/index.ts'
import type { policyPb } from '../../wire/index.ts'
import type { PolicyTransport } from '../policy-transport.ts'
import {
  heldIn,
  type OfferedSet,
  offerOf,
  openOffer,
  SETS_LIMITS,
  setsIn,
  setsRequest,
  setsResponse
} from './messages.ts'

export interface SetExchangeDeps {
  readonly trustDomain: string
  readonly rootKey: AdminKey
  readonly replica: SetReplica
  /** Stores a verified set, and takes it. */
  readonly put: (key: AdminKey, set: Bundle) => void
  readonly transport: PolicyTransport
  /** Called when another policy is in force by the sets of admins. */
  readonly onChange: (reason: string) => void
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

const FETCH_TIMEOUT_MS = 5_000
/** Answers for one fetch: each has at least one set, or as many as fit into a bundle. */
const MAX_ANSWERS = 64
/** An admin who repeats commands in a script is not slowed down by it; later versions are fetched. */
const AUTHOR_RATE = { burst: 64, perSecond: 4, maxKeys: 128 }
export const SENDER_RATE = { burst: 128, perSecond: 16, maxKeys: 1_024 }
const AGAIN_MS = 1_000
const MAX_ASKED = 3

/** Spreads and fetches the sets of admins. What nobody may say here is dropped before it costs a signature. */
export class SetExchange {
  readonly #deps: SetExchangeDeps
  readonly #stopping = new AbortController()
  readonly #ofAuthor = new TokenBuckets<AdminKey>(AUTHOR_RATE)
  readonly #ofSender = new TokenBuckets<PeerKey>(SENDER_RATE)
  /** Members where other sets count than here, by what they last announced. */
  readonly #different = new LruMap<PeerKey, string>(64)
  readonly #fetching = new Map<PeerKey, 'once' | 'again'>()
  #again: NodeJS.Timeout | undefined

  constructor(deps: SetExchangeDeps) {
    this.#deps = deps
  }

  stop(): void {
    this.#stopping.abort()
    clearTimeout(this.#again)
  }

  /** Verifies a gossiped set, and takes or fetches what is newer. */
  onGossip(message: policyPb.PolicySet, from: PeerKey): 'accept' | 'ignore' | 'reject' {
    try {
      const offer = offerOf(message)
      if (!this.#deps.replica.wants(offer)) return 'ignore'
      if (offer.signed === undefined) {
        if (!this.#mayCost(this.#ofSender, from, from)) return 'ignore'
        this.pull(from)
        return 'accept'
      }
      return this.#take([offer], from) === 0 ? 'ignore' : 'accept'
    } catch (err) {
      this.#deps.log.warn('set of an admin refused', { peer: from, err })
      // A fault of our own disk is not the fault of the neighbour that forwarded it.
      return WarrenError.is(err, ErrorCode.StateUnusable) ? 'ignore' : 'reject'
    }
  }

  /** Answers a host that asks for the sets that it lacks. */
  answer(request: Uint8Array): Uint8Array {
    return setsResponse(this.#deps.replica.missing(heldIn(request)))
  }

  /** Asks `peer` for the sets that this host lacks, in the background, and again if that was under way. */
  readonly pull = (peer: PeerKey): void => {
    if (this.#stopping.signal.aborted) return
    const isUnderWay = this.#fetching.has(peer)
    this.#fetching.set(peer, isUnderWay ? 'again' : 'once')
    if (isUnderWay) return
    this.fetch(peer)
      .catch((err: unknown) => {
        if (!this.#stopping.signal.aborted) this.#deps.log.debug('sets of admins not fetched', { peer, err })
      })
      .finally(() => {
        const isWanted = this.#fetching.get(peer) === 'again'
        this.#fetching.delete(peer)
        if (isWanted) this.pull(peer)
      })
  }

  /** The same; rejects when the peer fails, sends something unusable, or runs a program that knows one admin only. */
  async fetch(peer: PeerKey): Promise<void> {
    for (let answers = 0; answers < MAX_ANSWERS; answers += 1) {
      const request = setsRequest(this.#deps.replica.held())
      const bytes = await within(FETCH_TIMEOUT_MS, [this.#stopping.signal], signal =>
        this.#deps.transport.request(peer, request, signal)
      )
      const { sets, more } = setsIn(bytes, SETS_LIMITS.maxResponseBytes)
      if (this.#take(sets, peer) === 0 || !more) return
    }
  }

  /** A member announces the digest of the sets that count there. Empty: its program knows one admin only. */
  readonly heard = (peer: PeerKey, digest: string): void => {
    if (digest === '' || digest === this.#deps.replica.inForce.digest) {
      this.#different.delete(peer)
      return
    }
    this.#different.set(peer, digest)
    this.pull(peer)
  }

  /** Asks members that hold other sets, if the admins are others than `before`: sets of new ones were not wanted before. */
  askForNew(before: string): void {
    if (before === this.adminKeys()) return
    for (const peer of [...this.#different.keys()].slice(-MAX_ASKED)) this.pull(peer)
  }

  /** The keys of all admins, for `askForNew`. */
  adminKeys(): string {
    return this.#deps.replica.inForce.admins.map(({ key }) => key).join()
  }

  // Each set may give the right by which the next one is wanted.
  #take(offers: readonly OfferedSet[], from: PeerKey): number {
    const { digest } = this.#deps.replica.inForce
    const admins = this.adminKeys()
    const taken: string[] = []
    try {
      for (const offer of offers) {
        if (offer.signed === undefined || !this.#deps.replica.wants(offer)) continue
        if (!this.#mayCost(this.#ofSender, from, from)) continue
        const set = openOffer(offer, offer.signed, this.#deps)
        // Only now: nobody uses up what an admin may send by forgeries in its name.
        if (!this.#mayCost(this.#ofAuthor, offer.key, from)) continue
        this.#warnOfConflict(offer)
        this.#deps.put(offer.key, set)
        taken.push(
          reasonOf(
            set,
            this.#deps.replica.inForce.admins.find(({ key }) => key === offer.key)
          )
        )
      }
    } finally {
      this.askForNew(admins)
      // What came before a bad one counts.
      if (this.#deps.replica.inForce.digest !== digest) {
        this.#deps.log.info('policy of other admins changed', { count: taken.length, reason: taken.join(', ') })
        this.#deps.onChange(taken.slice(0, 4).join(', '))
      }
    }
    return taken.length
  }

  #warnOfConflict({ key, version, sha256 }: OfferedSet): void {
    const other = this.#deps.replica.versionsOf(key).find(one => one.version === version && one.sha256 !== sha256)
    if (other === undefined) return
    // All hosts choose the same one of the two.
    this.#deps.log.error('two sets of one sequence are signed by the key of an admin', {
      peer: key,
      policyVersion: String(version)
    })
  }

  #mayCost(buckets: TokenBuckets<PeerKey>, of: PeerKey, from: PeerKey): boolean {
    if (buckets.take(of, this.#deps.clock.monotonicMs())) return true
    this.#deps.metrics.hit('policy_set_rate', { peer: from })
    // It is newer than what is held: fetched when there is room again.
    this.#again ??= setTimeout(() => {
      this.#again = undefined
      this.pull(from)
    }, AGAIN_MS).unref()
    return false
  }
}

/** The change that a set makes, for events and logs. */
export function reasonOf({ version }: Bundle, admin: Admin | undefined): string {
  return `policy version ${version} of ${admin?.name ?? 'an admin'}`
}
