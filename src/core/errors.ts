import type { LimitName } from './metrics/limit-names.ts'

/**
 * Every failure that crosses a module boundary, the local API or the wire. Codes are stable API; messages are not.
 *
 * The first six are the answers of Connect; `docs/errors.md` documents each one, and a test compares the two.
 */
export const ErrorCode = {
  Timeout: 'TIMEOUT',
  InvalidSource: 'INVALID_SOURCE',
  DestinationNotFound: 'DESTINATION_NOT_FOUND',
  DestinationUnreachable: 'DESTINATION_UNREACHABLE',
  CannotConnect: 'CANNOT_CONNECT',
  Unauthorized: 'UNAUTHORIZED',
  InvalidArgument: 'INVALID_ARGUMENT',
  InvalidOption: 'INVALID_OPTION',
  InvalidConfig: 'INVALID_CONFIG',
  AgentNotRunning: 'AGENT_NOT_RUNNING',
  PermissionDenied: 'PERMISSION_DENIED',
  NotFound: 'NOT_FOUND',
  AlreadyExists: 'ALREADY_EXISTS',
  NotReady: 'NOT_READY',
  PortInUse: 'PORT_IN_USE',
  TokenRefused: 'TOKEN_REFUSED',
  JoinFailed: 'JOIN_FAILED',
  NotAuthority: 'NOT_AUTHORITY',
  NotAdmin: 'NOT_ADMIN',
  SignerNeeded: 'SIGNER_NEEDED',
  AlreadyInitialized: 'ALREADY_INITIALIZED',
  NotInitialized: 'NOT_INITIALIZED',
  CertificateRefused: 'CERTIFICATE_REFUSED',
  Revoked: 'REVOKED',
  RenewalRefused: 'RENEWAL_REFUSED',
  CertificateExpired: 'CERTIFICATE_EXPIRED',
  SignatureInvalid: 'SIGNATURE_INVALID',
  MessageTooLarge: 'MESSAGE_TOO_LARGE',
  MessageMalformed: 'MESSAGE_MALFORMED',
  InvariantBroken: 'INVARIANT_BROKEN',
  LimitExceeded: 'LIMIT_EXCEEDED',
  StreamTruncated: 'STREAM_TRUNCATED',
  FlowCut: 'FLOW_CUT',
  StateUnusable: 'STATE_UNUSABLE',
  PassphraseWrong: 'PASSPHRASE_WRONG',
  FileDamaged: 'FILE_DAMAGED',
  Unsupported: 'UNSUPPORTED',
  HookFailed: 'HOOK_FAILED',
  Internal: 'INTERNAL'
} as const
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode]

export interface WarrenErrorOptions extends ErrorOptions {
  /** One sentence: how the user at the terminal can solve the problem. */
  readonly hint?: string
  /** The limit that was reached, if it has not been counted yet: the code that answers with the error must count it. */
  readonly limit?: LimitName
}

const CODES: ReadonlySet<string> = new Set(Object.values(ErrorCode))

/**
 * The only error class that crosses a module boundary.
 *
 * `reason` names the fault and its subject in one lower-case clause. It never holds a secret, because it is logged,
 * sent to callers and printed.
 */
export class WarrenError extends Error {
  override readonly name = 'WarrenError'
  readonly code: ErrorCode
  readonly reason: string
  readonly hint: string | undefined
  readonly limit: LimitName | undefined

  constructor(code: ErrorCode, reason: string, options: WarrenErrorOptions = {}) {
    super(`${code}: ${reason}`, options)
    this.code = code
    this.reason = reason
    this.hint = options.hint
    this.limit = options.limit
  }

  /** Whether `err` is a WarrenError with this code. Compares the code, since two copies of the class may be loaded. */
  static is(err: unknown, code: ErrorCode): err is WarrenError {
    return err instanceof Error && err.name === 'WarrenError' && 'code' in err && err.code === code
  }

  /** `err` itself if it is a WarrenError, else one of code INTERNAL (or `code`) that wraps it. */
  static from(err: unknown, code: ErrorCode = ErrorCode.Internal): WarrenError {
    if (err instanceof WarrenError) return err
    return new WarrenError(code, err instanceof Error ? err.message : String(err), { cause: err })
  }
}

/**
 * TIMEOUT of a token whose session has ended: no call can succeed with it, however long its deadline. So that the local API
 * distinguishes it from a call that took too long.
 */
export class SessionEndedError extends WarrenError {
  constructor(reason: string, hint: string) {
    super(ErrorCode.Timeout, reason, { hint })
  }
}

/** Whether a string received from a peer or a server is one of our codes. */
export function isErrorCode(value: string): value is ErrorCode {
  return CODES.has(value)
}
