import type { KeyObject } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { CONTEXT, peerKeyOf, rawKeyOf, sign, verifySignature } from '../../identity/index.ts'
import type { AdminKey } from '../../policy/index.ts'
import { create, decode, policyPb, toBinary } from '../../wire/index.ts'

const MAX_BYTES = 512

/** The word of an admin's host that a policy is in force there, at a time by its clock. */
export interface Confirmation {
  readonly author: AdminKey
  readonly signedAtMs: number
  /** 64 hex digits, as of `policyDigest`. */
  readonly policy: string
}

/** The announcement of a confirmation to all hosts. */
export function confirmationOf(
  { author, signedAtMs, policy }: Confirmation,
  trustDomain: string,
  signer: KeyObject
): Uint8Array {
  const confirmation = toBinary(
    policyPb.ConfirmationSchema,
    create(policyPb.ConfirmationSchema, {
      trustDomain,
      author: rawKeyOf(author),
      signedAtMs: BigInt(signedAtMs),
      policy: Buffer.from(policy, 'hex')
    })
  )
  const signature = sign(signer, CONTEXT.policyConfirmation, confirmation)
  return toBinary(
    policyPb.AnnouncementSchema,
    create(policyPb.AnnouncementSchema, {
      confirmation: create(policyPb.SignedConfirmationSchema, { confirmation, signature })
    })
  )
}

/** The facts of a confirmation, and what verifies its signature. Throws MESSAGE_MALFORMED or MESSAGE_TOO_LARGE. */
export function openConfirmation(
  { confirmation: bytes, signature }: policyPb.SignedConfirmation,
  trustDomain: string
): Confirmation & { readonly verify: () => boolean } {
  const wire = decode(policyPb.ConfirmationSchema, bytes, MAX_BYTES)
  const signedAtMs = Number(wire.signedAtMs)
  if (wire.trustDomain !== trustDomain || wire.policy.length !== 32 || !Number.isSafeInteger(signedAtMs)) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'a confirmation of the policy is not usable')
  }
  return {
    author: authorOf(wire.author),
    signedAtMs,
    policy: Buffer.from(wire.policy).toString('hex'),
    verify: () => verifySignature(wire.author, CONTEXT.policyConfirmation, bytes, signature)
  }
}

function authorOf(raw: Uint8Array): AdminKey {
  try {
    return peerKeyOf(raw)
  } catch (cause) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'a confirmation of the policy names no key', { cause })
  }
}
