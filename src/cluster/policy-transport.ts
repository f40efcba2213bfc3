import type { PeerKey } from '../identity/index.ts'
import { type Bundle, MAX_BUNDLE_BYTES } from '../policy/index.ts'
import { create, decode, policyPb, toBinary } from '../wire/index.ts'

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

/** What tells other hosts of a policy: the whole of it if it is small. */
export function announcementOf({ version, sha256, signed }: Bundle): Uint8Array {
  const inline = signed.length <= INLINE_BYTES
  const message = create(policyPb.AnnouncementSchema, {
    version,
    sha256: Buffer.from(sha256, 'hex'),
    ...(inline ? { bundle: decode(policyPb.SignedBundleSchema, signed, MAX_BUNDLE_BYTES) } : {})
  })
  return toBinary(policyPb.AnnouncementSchema, message)
}

/** The answer to a host that asks for a newer policy than it has. */
export function fetchResponse(request: Uint8Array, bundle: Bundle | undefined): Uint8Array {
  const { haveVersion } = decode(policyPb.FetchRequestSchema, request, POLICY_LIMITS.maxRequestBytes)
  const newer = bundle !== undefined && bundle.version > haveVersion ? bundle : undefined
  const response =
    newer === undefined ? {} : { bundle: decode(policyPb.SignedBundleSchema, newer.signed, MAX_BUNDLE_BYTES) }
  return toBinary(policyPb.FetchResponseSchema, create(policyPb.FetchResponseSchema, response))
}
