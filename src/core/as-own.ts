import { ErrorCode, WarrenError } from './errors.ts'

/**
 * Verifies our own content as others will, before it is signed.
 *
 * A refusal then means a wrong argument instead of a malformed message: throws INVALID_ARGUMENT, or LIMIT_EXCEEDED for
 * content that is too large, with its reason and the limit that it names.
 */
export function asOwn<T>(answer: () => T): T {
  try {
    return answer()
  } catch (cause) {
    const { code, reason, limit } = WarrenError.from(cause)
    const options = { cause, ...(limit === undefined ? {} : { limit }) }
    if (code === ErrorCode.MessageTooLarge) throw new WarrenError(ErrorCode.LimitExceeded, reason, options)
    throw new WarrenError(ErrorCode.InvalidArgument, reason, options)
  }
}
