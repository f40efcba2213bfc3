import { ErrorCode, isErrorCode, WarrenError } from '../../core/index.ts'
import { MAX_REASON_BYTES } from '../limits.ts'

// A response frame is one status byte and, after 0, the response; after 1, "CODE reason" in UTF-8.
const OK = 0
const FAILED = 1

/** Bytes that a response frame may need beyond the response. */
export const RESPONSE_OVERHEAD_BYTES = 1 + MAX_REASON_BYTES

export function encodeResponse(body: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(OK), body])
}

export function encodeFailure(err: unknown): Uint8Array {
  // An error that is not a WarrenError may name paths or keys of this host: the peer learns only that the request failed.
  const failure = err instanceof WarrenError ? err : new WarrenError(ErrorCode.Internal, 'the request failed there')
  const text = Buffer.from(`${failure.code} ${failure.reason}`).subarray(0, MAX_REASON_BYTES)
  return Buffer.concat([Uint8Array.of(FAILED), text])
}

/** The response in a frame. Throws the peer's WarrenError if it is a failure, MESSAGE_MALFORMED if it is neither. */
export function decodeResponse(frame: Uint8Array): Uint8Array {
  if (frame[0] === OK) return frame.subarray(1)
  if (frame[0] !== FAILED) throw new WarrenError(ErrorCode.MessageMalformed, 'a response frame has no status')
  const text = Buffer.from(frame.subarray(1, 1 + MAX_REASON_BYTES)).toString('utf8')
  const space = text.indexOf(' ')
  const code = space === -1 ? text : text.slice(0, space)
  const reason = space === -1 ? '' : text.slice(space + 1)
  throw new WarrenError(isErrorCode(code) ? code : ErrorCode.Internal, `the peer answered: ${reason || 'no reason'}`)
}
