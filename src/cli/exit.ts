import { ErrorCode, isErrorCode } from '../core/index.ts'

/** Exit codes: 0 done, 1 failed, 2 usage error, 3 done here, and not every host has said that it did. */
export const Exit = { Ok: 0, Failed: 1, Usage: 2, Incomplete: 3 } as const
export type Exit = (typeof Exit)[keyof typeof Exit]

// The faults that only another command line can correct.
const USAGE: ReadonlySet<string> = new Set([
  ErrorCode.InvalidArgument,
  ErrorCode.InvalidOption,
  ErrorCode.InvalidConfig
])

/** The exit code of a failure. */
export function exitCodeOf(err: unknown): Exit {
  const code = codeOf(err)
  return code !== undefined && USAGE.has(code) ? Exit.Usage : Exit.Failed
}

/** The warren code of a failure; undefined if it has none. Compares names, since two copies of the class may be loaded. */
export function codeOf(err: unknown): ErrorCode | undefined {
  if (!(err instanceof Error) || err.name !== 'WarrenError' || !('code' in err)) return undefined
  const { code } = err
  return typeof code === 'string' && isErrorCode(code) ? code : undefined
}
