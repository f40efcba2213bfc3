import { ErrorCode, type Logger, WarrenError, within } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import type { Bundle } from '../policy/index.ts'
import { create, decode, policyPb, toBinary } from '../wire/index.ts'
import type { SetExchange } from './admins/index.ts'
import type { PolicyLease } from './lease/index.ts'
import { announcementOf, fetchResponse, POLICY_LIMITS, type PolicyTransport } from './policy-transport.ts'

export interface PolicyExchangeDeps {
  /** The bundle of the root in force here. */
  readonly bundle: () => Bundle | undefined
  /** Verifies a bundle and applies it if it is newer. */
  readonly take: (signed: Uint8Array) => void
  readonly sets: { readonly exchange: Pick<SetExchange, 'onGossip'>; readonly lease: Pick<PolicyLease, 'onGossip'> }
  readonly transport: PolicyTransport
  /** Called when a peer has reported its policy, or that it has none. */
  readonly onHeard?: ((peer: PeerKey) => void) | undefined
  readonly log: Logger
}

const FETCH_TIMEOUT_MS = 5_000

/** Spreads the bundle of the root, and fetches newer versions from anywhere. */
export class PolicyExchange {
  readonly #deps: PolicyExchangeDeps
  readonly #stopping = new AbortController()

  constructor(deps: PolicyExchangeDeps) {
    this.#deps = deps
  }

  stop(): void {
    this.#stopping.abort()
  }

  /** Verifies a gossiped announcement, and takes over or fetches what is newer. */
  onGossip(bytes: Uint8Array, from: PeerKey): 'accept' | 'ignore' | 'reject' {
    const { sets, log, take } = this.#deps
    try {
      const announcement = decode(policyPb.AnnouncementSchema, bytes, POLICY_LIMITS.maxAnnouncementBytes)
      if (announcement.set !== undefined) return sets.exchange.onGossip(announcement.set, from)
      if (announcement.confirmation !== undefined) return sets.lease.onGossip(announcement.confirmation, from)
      const version = this.#version
      const sameContent = Buffer.from(announcement.sha256).toString('hex') === this.#deps.bundle()?.sha256
      if (announcement.version < version || (announcement.version === version && sameContent)) return 'ignore'
      if (announcement.bundle === undefined) {
        // Our version with another content is fetched as well: if the admin key signed both, that must be reported.
        this.pull(from, announcement.version === version ? version - 1n : version)
        return 'accept'
      }
      take(toBinary(policyPb.SignedBundleSchema, announcement.bundle))
      return 'accept'
    } catch (err) {
      log.warn('policy announcement refused', { peer: from, err })
      // A fault of our own disk, or of the admin, is not the fault of the neighbour that forwarded it.
      return WarrenError.is(err, ErrorCode.StateUnusable) || isBroken(err) ? 'ignore' : 'reject'
    }
  }

  /** Answers a peer that asks for a newer version. */
  answer(bytes: Uint8Array): Uint8Array {
    return fetchResponse(bytes, this.#deps.bundle())
  }

  /** Asks `peer` for a newer version than this one, in the background. @default the one in force */
  pull(peer: PeerKey, haveVersion: bigint = this.#version): void {
    this.fetch(peer, haveVersion).catch((err: unknown) => {
      if (!this.#stopping.signal.aborted) this.#deps.log.debug('policy fetch failed', { peer, err })
    })
  }

  /** Asks `peer` for a newer version and applies it. Rejects when the peer fails or sends something unusable. */
  async fetch(peer: PeerKey, haveVersion: bigint = this.#version): Promise<void> {
    const request = toBinary(policyPb.FetchRequestSchema, create(policyPb.FetchRequestSchema, { haveVersion }))
    const bytes = await within(FETCH_TIMEOUT_MS, [this.#stopping.signal], signal =>
      this.#deps.transport.request(peer, request, signal)
    )
    const { bundle } = decode(policyPb.FetchResponseSchema, bytes, POLICY_LIMITS.maxResponseBytes)
    if (bundle !== undefined) this.#deps.take(toBinary(policyPb.SignedBundleSchema, bundle))
    this.#deps.onHeard?.(peer)
  }

  async announce(): Promise<void> {
    const bundle = this.#deps.bundle()
    if (bundle !== undefined) await this.#deps.transport.publish(announcementOf(bundle))
  }

  get #version(): bigint {
    return this.#deps.bundle()?.version ?? 0n
  }
}

export function isBroken(err: unknown): err is WarrenError {
  return WarrenError.is(err, ErrorCode.InvariantBroken)
}
