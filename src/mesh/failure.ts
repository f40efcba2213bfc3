import { ErrorCode, formatHostPort, type HostPort, listenFault, WarrenError } from '../core/index.ts'

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
  const detail = wordsOf(cause)
  switch (name) {
    case 'TimeoutError':
    case 'AbortError':
      return new WarrenError(ErrorCode.Timeout, `${what}: no answer in time`, { cause: err })
    case 'UnsupportedProtocolError':
      return new WarrenError(
        ErrorCode.Unsupported,
        `${what}: the other host speaks no version of it that this one speaks`,
        { cause: err }
      )
    case 'InvalidDataLengthError':
    case 'InvalidDataLengthLengthError':
      return new WarrenError(ErrorCode.MessageTooLarge, `${what}: ${detail}`, { cause: err })
    case 'InvalidMessageLengthError':
      return new WarrenError(ErrorCode.MessageMalformed, `${what}: ${detail}`, { cause: err })
    default:
      return new WarrenError(ErrorCode.DestinationUnreachable, `${what}: ${detail}`, { cause: err })
  }
}

// The names of libp2p's errors that a caller may get, and what they mean to somebody who does not know libp2p.
const WORDS: Readonly<Record<string, string>> = {
  NoValidAddressesError: 'no address of the host is known that can be dialled',
  DialError: 'none of its addresses answers',
  DialDeniedError: 'this host may not be dialled',
  TransportUnavailableError: 'none of its addresses can be dialled from here',
  NotFoundError: 'the host is not connected, and no address of it is known',
  EncryptionFailedError: 'the connection ended while the hosts admitted each other',
  ConnectionClosedError: 'the connection was closed',
  ConnectionClosingError: 'the connection is closing',
  ConnectionFailedError: 'the connection failed',
  MuxerClosedError: 'the connection was closed',
  MuxerUnavailableError: 'the connection ended while it was set up',
  StreamResetError: 'the other host reset the stream',
  StreamAbortedError: 'the stream was aborted',
  StreamStateError: 'the stream was closed',
  StreamBufferError: 'the other host sent more than fits',
  UnexpectedEOFError: 'the other host closed the stream before its answer was complete',
  TooManyInboundProtocolStreamsError: 'too many streams are open',
  TooManyOutboundProtocolStreamsError: 'too many streams are open'
}

/** What went wrong, without the words of libp2p. The error itself stays the cause, for the log. */
function wordsOf(cause: unknown): string {
  if (cause instanceof Event) return 'the stream was closed'
  if (!(cause instanceof Error)) return String(cause)
  return WORDS[cause.name] ?? cause.message
}

/** Why the node did not start: PORT_IN_USE, INVALID_OPTION for an address that cannot be listened on, else INTERNAL. */
export function startFailure(err: unknown, listen: HostPort): WarrenError {
  // libp2p gives the error of the system as text only, among words of its own.
  const code = /\blisten (E[A-Z]{3,})\b/.exec(messages(err))?.[1]
  if (code === undefined) return WarrenError.from(err)
  const { why, hint } = listenFault(listen, code)
  const kind = code === 'EADDRINUSE' ? ErrorCode.PortInUse : ErrorCode.InvalidOption
  return new WarrenError(kind, `the mesh cannot listen at ${formatHostPort(listen)}: ${why}`, {
    cause: err,
    hint: `${hint} The option is --listen.`
  })
}

function messages(err: unknown): string {
  if (err instanceof AggregateError) return [err.message, ...err.errors.map(messages)].join('; ')
  return err instanceof Error ? err.message : String(err)
}
