import type { PeerKey } from '../identity/index.ts'
import { MAX_BUNDLE_BYTES } from '../policy/index.ts'

/** The slice of the mesh that spreads policy. */
export interface PolicyTransport {
  readonly publish: (bytes: Uint8Array) => Promise<number>
  /** Asks one peer; rejects when it cannot be reached. */
  readonly request: (peer: PeerKey, bytes: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
}

/** A larger bundle is announced by its hash and fetched from the announcer, so that gossip messages stay small. */
export const INLINE_BYTES = 32 * 1024

export const POLICY_LIMITS = Object.freeze({
  maxAnnouncementBytes: INLINE_BYTES + 1_024,
  maxRequestBytes: 64,
  maxResponseBytes: MAX_BUNDLE_BYTES + 64
})
