import { Code, ConnectError } from '@connectrpc/connect'
import { ErrorCode, isErrorCode, packageVersion, WarrenError } from '../core/index.ts'

/** The `code` of a system error anywhere in the chain of causes of `err`, such as `ENOENT`. */
export function systemCode(err: unknown): string | undefined {
  // Bounded: a chain of causes may be circular.
  for (let cause = err, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth += 1) {
    if ('code' in cause && typeof cause.code === 'string' && 'syscall' in cause) return cause.code
  }
  return undefined
}

/**
 * Converts the error of a call on the local API at `path` to the error that the agent sent, or to one that explains the
 * state of the agent.
 */
export function fromConnectError(err: unknown, path: string): WarrenError {
  const own = warrenErrorIn(err)
  if (own !== undefined) return own
  const failure = ConnectError.from(err)
  const code = failure.metadata.get('warren-error')
  if (code === ErrorCode.NotFound && failure.rawMessage.endsWith(NO_SUCH_CALL)) return olderAgent(path, err)
  if (code !== null && isErrorCode(code)) {
    const reason = decode(failure.metadata.get('warren-reason')) ?? failure.rawMessage
    const hint = decode(failure.metadata.get('warren-hint'))
    return new WarrenError(code, reason, hint === undefined ? { cause: err } : { cause: err, hint })
  }
  const system = systemCode(err)
  if (system === 'ENOENT' || system === 'ENOTDIR' || system === 'ECONNREFUSED') {
    return new WarrenError(ErrorCode.AgentNotRunning, `no agent answers on ${path}`, {
      hint: 'Start it with `warren up`, or give its runtime directory with --runtime-dir or WARREN_RUNTIME_DIR.',
      cause: err
    })
  }
  if (system === 'EACCES' || system === 'EPERM') {
    return new WarrenError(ErrorCode.PermissionDenied, `this user may not use ${path}`, {
      hint: 'Run the command as root or as the user that runs the agent.',
      cause: err
    })
  }
  return new WarrenError(codeFor(failure, system), failure.rawMessage || failure.message, { cause: err })
}

/** The words of agents from before versions were shown. */
const NO_SUCH_CALL = 'no such call'

function olderAgent(path: string, cause: unknown): WarrenError {
  const reason = `the agent on ${path} is older than this program, warren ${packageVersion()}, and does not have the call`
  return new WarrenError(ErrorCode.Unsupported, reason, {
    cause,
    hint: 'Restart the agent with the new program: `systemctl restart warren`.'
  })
}

// A failure to dial, which the libraries between have wrapped.
function warrenErrorIn(err: unknown): WarrenError | undefined {
  for (let cause = err, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth += 1) {
    if (cause instanceof WarrenError) return cause
  }
  return undefined
}

function codeFor(failure: ConnectError, system: string | undefined): ErrorCode {
  switch (failure.code) {
    case Code.DeadlineExceeded:
      return ErrorCode.Timeout
    case Code.InvalidArgument:
      return ErrorCode.InvalidArgument
    case Code.ResourceExhausted:
      return ErrorCode.LimitExceeded
    case Code.Unimplemented:
      return ErrorCode.Unsupported
    // The agent ended during the call.
    case Code.Unavailable:
    case Code.Aborted:
    case Code.Canceled:
      return ErrorCode.AgentNotRunning
    default:
      return system === 'ECONNRESET' || system === 'EPIPE' ? ErrorCode.AgentNotRunning : ErrorCode.Internal
  }
}

function decode(header: string | null): string | undefined {
  if (header === null) return undefined
  try {
    return decodeURIComponent(header)
  } catch {
    return header
  }
}
