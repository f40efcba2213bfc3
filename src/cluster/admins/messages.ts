import { ErrorCode, WarrenError } from '../../core/index.ts'
import { peerKeyOf, rawKeyOf } from '../../identity/index.ts'
import {
  type AdminKey,
  type Bundle,
  MAX_BUNDLE_BYTES,
  openBundle,
  openSet,
  type SetVersion
} from '../../policy/index.ts'
import { create, decode, policyPb, toBinary } from '../../wire/index.ts'
import { INLINE_BYTES } from '../policy-transport.ts'

export const SETS_LIMITS = Object.freeze({
  /** Heads of all versions that a host can hold. */
  maxRequestBytes: 64 * 1024,
  /** One bundle of the root, which is larger than any set, or many sets. */
  maxResponseBytes: MAX_BUNDLE_BYTES + 1_024
})

/** One set as it travels, with the facts that are compared before its signature is verified. */
export interface OfferedSet extends SetVersion {
  /** Absent: it is announced, and must be fetched. */
  readonly signed: Uint8Array | undefined
}

/** Throws MESSAGE_MALFORMED. */
export function offerOf({ head, set }: policyPb.PolicySet): OfferedSet {
  return {
    ...versionOf(head),
    signed: set === undefined ? undefined : toBinary(policyPb.SignedBundleSchema, set)
  }
}

/** Verifies the signature of a set, and that it is what its head says. Throws SIGNATURE_INVALID or MESSAGE_MALFORMED. */
export function openOffer(
  { key, version, sha256 }: SetVersion,
  signed: Uint8Array,
  { rootKey, trustDomain }: { readonly rootKey: AdminKey; readonly trustDomain: string }
): Bundle {
  const open = key === rootKey ? openBundle : openSet
  const set = open(signed, rawKeyOf(key), trustDomain)
  if (set.version === version && set.sha256 === sha256) return set
  throw new WarrenError(ErrorCode.MessageMalformed, 'the set of an admin is another one than its head says')
}

/** The announcement of a set to all hosts: the whole of it if it is small. */
export function announceSet(key: AdminKey, set: Bundle): Uint8Array {
  const inline = set.signed.length <= INLINE_BYTES
  return toBinary(
    policyPb.AnnouncementSchema,
    create(policyPb.AnnouncementSchema, {
      set: create(policyPb.PolicySetSchema, {
        head: headOf({ key, ...set }),
        ...(inline ? { set: signedOf(set) } : {})
      })
    })
  )
}

export function setsRequest(held: readonly SetVersion[]): Uint8Array {
  return toBinary(policyPb.SetsRequestSchema, create(policyPb.SetsRequestSchema, { held: held.map(headOf) }))
}

/** What another host says it holds. Throws MESSAGE_MALFORMED or MESSAGE_TOO_LARGE. */
export function heldIn(request: Uint8Array): SetVersion[] {
  return decode(policyPb.SetsRequestSchema, request, SETS_LIMITS.maxRequestBytes).held.map(versionOf)
}

/** As many of these as one answer may have. */
export function setsResponse(
  sets: ReadonlyArray<SetVersion & { readonly set: Bundle }>,
  maxBytes: number = SETS_LIMITS.maxResponseBytes
): Uint8Array {
  const sent: policyPb.PolicySet[] = []
  let bytes = 0
  for (const { set, ...version } of sets) {
    bytes += set.signed.length + 128
    if (bytes > maxBytes - 512 && sent.length > 0) break
    sent.push(create(policyPb.PolicySetSchema, { head: headOf(version), set: signedOf(set) }))
  }
  return toBinary(
    policyPb.SetsResponseSchema,
    create(policyPb.SetsResponseSchema, { sets: sent, more: sent.length < sets.length })
  )
}

export function setsIn(
  response: Uint8Array,
  maxBytes: number
): { readonly sets: OfferedSet[]; readonly more: boolean } {
  const { sets, more } = decode(policyPb.SetsResponseSchema, response, maxBytes)
  return { sets: sets.map(offerOf), more }
}

function headOf({ key, version, sha256 }: SetVersion): policyPb.SetHead {
  return create(policyPb.SetHeadSchema, {
    author: rawKeyOf(key),
    sequence: version,
    sha256: Buffer.from(sha256, 'hex')
  })
}

function versionOf(head: policyPb.SetHead | undefined): SetVersion {
  if (head?.sha256.length !== 32) throw new WarrenError(ErrorCode.MessageMalformed, 'the head of a set is not usable')
  try {
    return { key: peerKeyOf(head.author), version: head.sequence, sha256: Buffer.from(head.sha256).toString('hex') }
  } catch (cause) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'the head of a set names no key', { cause })
  }
}

function signedOf({ signed }: Bundle): policyPb.SignedBundle {
  return decode(policyPb.SignedBundleSchema, signed, MAX_BUNDLE_BYTES)
}
