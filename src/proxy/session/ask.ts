import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2'
import { ErrorCode, raceAbort, WarrenError } from '../../core/index.ts'
import { abortStream } from '../legs/index.ts'
import { refusalFrom } from './headers.ts'

export interface AskOptions {
  readonly body?: Uint8Array
  readonly onClose?: () => void
  /** Called with the headers of the answer, whatever it is. A throw rejects the request. */
  readonly read?: ((headers: Readonly<Record<string, unknown>>) => void) | undefined
}

/** A request on a session that has no answer yet. */
export interface PendingRequest {
  /** Resolves with its stream once it is answered with 200. Rejects with the failure of the request. */
  readonly answered: Promise<ClientHttp2Stream>
  /** Cancels the request with this error. */
  readonly giveUp: (err: Error) => void
}

/**
 * Sends a request on a session, with a body or with its own direction left open. `answered` rejects with the refusal,
 * with DESTINATION_UNREACHABLE when the session closes, or with the signal's reason, and the stream is closed then.
 */
export function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  signal: AbortSignal,
  { body, onClose = () => {}, read }: AskOptions = {}
): PendingRequest {
  const stream = session.request(headers)
  const answer = Promise.withResolvers<Record<string, unknown>>()
  stream.on('error', answer.reject)
  stream.once('response', answer.resolve)
  stream.once('close', () => {
    onClose()
    answer.reject(new WarrenError(ErrorCode.DestinationUnreachable, 'its agent closed the session'))
  })
  if (body !== undefined) stream.end(body)
  const settle = async (): Promise<ClientHttp2Stream> => {
    try {
      const received = await raceAbort(answer.promise, signal)
      read?.(received)
      if (received[':status'] !== 200) throw refusalFrom(received)
      return stream
    } catch (err) {
      // A clean end before the reset would be that of a flow which the other agent has granted or continued meanwhile.
      abortStream(stream, 'link')
      throw err
    }
  }
  return { answered: settle(), giveUp: answer.reject }
}
