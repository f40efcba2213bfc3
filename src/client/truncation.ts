import type { Socket } from 'node:net'
import { ErrorCode, WarrenError } from '../core/index.ts'

const NOTHING = Buffer.alloc(0)
/**
 * Interval of checks, after a clean end, that a reader still exists: the maximum delay of noticing a cut, in
 * milliseconds.
 */
const PROBE_MS = 250

/**
 * Makes the abrupt end of a unix connection an error of `socket` instead of a clean end.
 *
 * A peer that closed both directions and one that ended only its own look alike to a reader. They differ for a writer:
 * a write of no bytes fails with EPIPE only if no reader exists any more. So the end is held back for one such write,
 * and becomes STREAM_TRUNCATED if it fails; data that was received but not yet read is then lost, as with a TCP reset.
 * After a clean end no data arrives that could show a cut, so such writes are repeated while this side is open. A cut
 * is not detectable once this side has ended its writing, or while earlier writes are queued (those fail on their own).
 */
export function surfaceTruncation<S extends Socket>(socket: S): S {
  const push = socket.push.bind(socket)
  // Own property of this one socket: `end` itself comes too late, since a reader may already have accepted it as clean.
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk !== null || !isOpen(socket)) return push(chunk, encoding)
    if (socket.writableLength > 0) {
      keepProbing(socket)
      return push(chunk, encoding)
    }
    probe(socket, () => {
      push(null)
      keepProbing(socket)
    })
    return false
  }
  return socket
}

function probe(socket: Socket, answered: () => void): void {
  socket.write(NOTHING, err => {
    // A failed write destroys the socket with its own EPIPE right after; `destroy` here comes first.
    if (err != null) socket.destroy(new WarrenError(ErrorCode.StreamTruncated, TRUNCATED, { cause: err }))
    else answered()
  })
}

function keepProbing(socket: Socket): void {
  const timer = setInterval(() => {
    if (!isOpen(socket)) clearInterval(timer)
    else if (socket.writableLength === 0) probe(socket, () => {})
  }, PROBE_MS)
  socket.once('close', () => clearInterval(timer))
}

function isOpen(socket: Socket): boolean {
  return !socket.writableEnded && !socket.destroyed
}

const TRUNCATED = 'the connection was cut before its end'
