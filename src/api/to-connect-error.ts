import { fromJson } from '@bufbuild/protobuf'
import { StructSchema } from '@bufbuild/protobuf/wkt'
import { Code, ConnectError } from '@connectrpc/connect'
import { ErrorCode, type Logger, SessionEndedError, WarrenError } from '../core/index.ts'

const CONNECT_CODES: { readonly [K in ErrorCode]: Code } = {
  [ErrorCode.Timeout]: Code.DeadlineExceeded,
  [ErrorCode.InvalidSource]: Code.Unauthenticated,
  [ErrorCode.DestinationNotFound]: Code.NotFound,
  [ErrorCode.DestinationUnreachable]: Code.Unavailable,
  [ErrorCode.CannotConnect]: Code.Unavailable,
  [ErrorCode.Unauthorized]: Code.PermissionDenied,
  [ErrorCode.InvalidArgument]: Code.InvalidArgument,
  [ErrorCode.InvalidOption]: Code.InvalidArgument,
  [ErrorCode.InvalidConfig]: Code.FailedPrecondition,
  [ErrorCode.AgentNotRunning]: Code.Unavailable,
  [ErrorCode.PermissionDenied]: Code.PermissionDenied,
  [ErrorCode.NotFound]: Code.NotFound,
  [ErrorCode.AlreadyExists]: Code.AlreadyExists,
  [ErrorCode.NotReady]: Code.Unavailable,
  [ErrorCode.PortInUse]: Code.FailedPrecondition,
  [ErrorCode.TokenRefused]: Code.Unauthenticated,
  [ErrorCode.JoinFailed]: Code.Unavailable,
  [ErrorCode.NotAuthority]: Code.FailedPrecondition,
  [ErrorCode.NotAdmin]: Code.FailedPrecondition,
  [ErrorCode.SignerNeeded]: Code.FailedPrecondition,
  [ErrorCode.AlreadyInitialized]: Code.FailedPrecondition,
  [ErrorCode.NotInitialized]: Code.FailedPrecondition,
  [ErrorCode.CertificateRefused]: Code.PermissionDenied,
  [ErrorCode.Revoked]: Code.PermissionDenied,
  [ErrorCode.RenewalRefused]: Code.PermissionDenied,
  [ErrorCode.CertificateExpired]: Code.Unavailable,
  [ErrorCode.SignatureInvalid]: Code.InvalidArgument,
  [ErrorCode.MessageTooLarge]: Code.ResourceExhausted,
  [ErrorCode.MessageMalformed]: Code.InvalidArgument,
  [ErrorCode.InvariantBroken]: Code.FailedPrecondition,
  [ErrorCode.LimitExceeded]: Code.ResourceExhausted,
  [ErrorCode.StreamTruncated]: Code.DataLoss,
  [ErrorCode.FlowCut]: Code.Aborted,
  [ErrorCode.StateUnusable]: Code.Internal,
  [ErrorCode.PassphraseWrong]: Code.PermissionDenied,
  [ErrorCode.FileDamaged]: Code.DataLoss,
  [ErrorCode.Unsupported]: Code.Unimplemented,
  [ErrorCode.HookFailed]: Code.Aborted,
  [ErrorCode.Internal]: Code.Internal
}

/** Longest text in a header of an answer, in characters before percent-encoding; clients bound headers at 16 KB. */
const MAX_HEADER_CHARS = 1_000

/**
 * The answer to a call that failed with `err`.
 *
 * The message is `CODE: reason`; the headers `warren-error`, `warren-reason` and `warren-hint` carry the parts (the
 * last two percent-encoded), and so does a `google.protobuf.Struct` detail, which JSON callers can read. Any other
 * error is logged and becomes INTERNAL without its text, which may contain paths.
 */
export function toConnectError(err: unknown, log: Logger, method: string): ConnectError {
  const known = explain(err)
  if (known === undefined) {
    if (err instanceof ConnectError) return err
    log.error('call failed unexpectedly', { method, err })
  }
  const { code, reason, hint } = known ?? {
    code: ErrorCode.Internal,
    reason: 'the agent could not answer',
    hint: 'The log of the agent says why.'
  }
  const headers = new Headers({ 'warren-error': code, 'warren-reason': encode(reason) })
  if (hint !== undefined) headers.set('warren-hint', encode(hint))
  const detail = fromJson(StructSchema, hint === undefined ? { code, reason } : { code, reason, hint })
  const details = [{ desc: StructSchema, value: { fields: detail.fields } }]
  // Not the code of a deadline, after which clients of gRPC try the same call again: a token that has ended stays so.
  const connectCode = err instanceof SessionEndedError ? Code.Unauthenticated : CONNECT_CODES[code]
  return new ConnectError(`${code}: ${reason}`, connectCode, headers, details, err)
}

/** The code of `err` for the caller; undefined for foreign errors: INTERNAL, unless the library says otherwise. */
export function codeOf(err: unknown): ErrorCode | undefined {
  const known = explain(err)
  if (known !== undefined) return known.code
  return err instanceof ConnectError || isAbort(err) ? undefined : ErrorCode.Internal
}

function isAbort(err: unknown): boolean {
  return err instanceof DOMException && err.name === 'AbortError'
}

function explain(err: unknown): Pick<WarrenError, 'code' | 'reason' | 'hint'> | undefined {
  if (err instanceof WarrenError) return err
  const timedOut =
    (err instanceof DOMException && err.name === 'TimeoutError') ||
    (err instanceof ConnectError && err.code === Code.DeadlineExceeded)
  return timedOut ? new WarrenError(ErrorCode.Timeout, 'no answer within the deadline of the call') : undefined
}

function encode(text: string): string {
  // A lone surrogate, left by a cut inside a pair, makes encodeURIComponent throw.
  const clipped = text.length > MAX_HEADER_CHARS ? `${text.slice(0, MAX_HEADER_CHARS)}…` : text
  // Spaces and punctuation stay readable; control characters, `%` and non-ASCII characters do not.
  return clipped.toWellFormed().replace(/[^\x20-\x24\x26-\x7e]/gu, encodeURIComponent)
}
