import { ErrorCode, isErrorCode, WarrenError } from '../core/index.ts'

const MAX_REASON = 512

/** Converts an error for another process: a reason of bounded size that is valid Unicode. */
export function toWireError({ code, reason }: WarrenError): { readonly code: ErrorCode; readonly reason: string } {
  return { code, reason: reason.slice(0, MAX_REASON).toWellFormed() }
}

/** Converts an error from another agent. An unknown code becomes DESTINATION_UNREACHABLE. */
export function fromWireError(code: unknown, reason: string): WarrenError {
  const known = typeof code === 'string' && isErrorCode(code) ? code : ErrorCode.DestinationUnreachable
  return new WarrenError(known, reason.slice(0, MAX_REASON))
}
