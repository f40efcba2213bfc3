import { ErrorCode, WarrenError } from '../core/index.ts'

/** The refusal of a bundle whose signature is valid. */
export function malformed(why: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, `the policy bundle is not usable: ${why}`, { cause })
}

export const MAX_REASON_LENGTH = 256
export const MAX_OWNER_LENGTH = 128
const MAX_ID_LENGTH = 64

/** Checks the fields that all parts of a bundle share. Throws MESSAGE_MALFORMED. */
export function checkIdAndReason(
  what: string,
  { id, reason, owner = '' }: { readonly id: string; readonly reason: string; readonly owner?: string }
): void {
  if (id === '' || id.length > MAX_ID_LENGTH) throw malformed(`a ${what} has no usable id`)
  if (reason.length > MAX_REASON_LENGTH) throw malformed(`the reason of ${what} ${id} is too long`)
  if (owner.length > MAX_OWNER_LENGTH) throw malformed(`the owner of ${what} ${id} is too long`)
}

/** The owner, if one is named. */
export function ownerOf({ owner }: { readonly owner: string }): { readonly owner?: string } {
  return owner === '' ? {} : { owner }
}
