import { ErrorCode, WarrenError } from './errors.ts'

/**
 * Runs a verify of what others say on something of our own, before it is signed.
 *
 * What it refuses is then nobody's malformed message but an argument that cannot be: throws INVALID_ARGUMENT, or LIMIT_EXCEEDED for
 * what is too large, with its reason and the limit that it names.
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
