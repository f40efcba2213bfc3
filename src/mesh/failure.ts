import { ErrorCode, type HostPort, WarrenError } from '../core/index.ts'

/**
 * Translates a failure of libp2p into a WarrenError. Only this file knows the names of libp2p's errors.
 *
 * `signal` is the caller's: if it aborted, its reason is returned as it is. A WarrenError is returned unchanged.
 */
export function translate(err: unknown, what: string, signal?: AbortSignal): unknown {
  if (signal?.aborted === true) return signal.reason
  if (err instanceof WarrenError) return err
  // libp2p also rejects with the close event of a stream.
  const cause = err instanceof AggregateError && err.errors.length > 0 ? err.errors[0] : err
  const name = cause instanceof Error ? cause.name : ''
  const detail = cause instanceof Error ? cause.message : cause instanceof Event ? 'the stream closed' : String(cause)
  switch (name) {
    case 'TimeoutError':
    case 'AbortError':
      return new WarrenError(ErrorCode.Timeout, `${what}: no answer in time`, { cause: err })
    case 'UnsupportedProtocolError':
      return new WarrenError(ErrorCode.Unsupported, `${what}: the peer does not speak this protocol`, { cause: err })
    case 'InvalidDataLengthError':
    case 'InvalidDataLengthLengthError':
      return new WarrenError(ErrorCode.MessageTooLarge, `${what}: ${detail}`, { cause: err })
    case 'InvalidMessageLengthError':
      return new WarrenError(ErrorCode.MessageMalformed, `${what}: ${detail}`, { cause: err })
    default:
      return new WarrenError(ErrorCode.DestinationUnreachable, `${what}: ${detail}`, { cause: err })
  }
}

/** Why the node did not start: PORT_IN_USE, INVALID_OPTION for an address that is not ours, else INTERNAL. */
export function startFailure(err: unknown, listen: HostPort): WarrenError {
  const text = messages(err)
  const where = `${listen.host}:${listen.port}`
  if (text.includes('EADDRINUSE')) {
    return new WarrenError(ErrorCode.PortInUse, `the mesh cannot listen at ${where}: it is in use`, {
      cause: err,
      hint: 'Choose another port with --listen, or 0 for a free one.'
    })
  }
  if (text.includes('EADDRNOTAVAIL') || text.includes('EACCES')) {
    return new WarrenError(ErrorCode.InvalidOption, `the mesh cannot listen at ${where}: ${text}`, { cause: err })
  }
  return WarrenError.from(err)
}

function messages(err: unknown): string {
  if (err instanceof AggregateError) return [err.message, ...err.errors.map(messages)].join('; ')
  return err instanceof Error ? err.message : String(err)
}
