import { ErrorCode, type LimitName, WarrenError } from '../core/index.ts'

/** LIMIT_EXCEEDED for a caller who has too many of something open. */
export function tooMany(what: string, max: number, limit?: LimitName): WarrenError {
  return new WarrenError(ErrorCode.LimitExceeded, `too many ${what}; the limit is ${max}`, {
    ...(limit === undefined ? {} : { limit }),
    hint: 'Close some, or keep one connection for many calls.'
  })
}
