import type { Socket } from 'node:net'
import { ErrorCode, WarrenError } from '../core/index.ts'

const NOTHING = Buffer.alloc(0)
/** How often to ask, after a clean end, whether anybody still reads: how late a cut may be noticed, in milliseconds. */
const PROBE_MS = 250

/**
 * Makes the abrupt end of a unix connection an error of `socket` instead of a clean end.
 *
 * A peer that closed both directions and one that ended only its own look alike to a reader. They differ to a writer:
 * a write of no bytes fails with EPIPE only if nobody can read it any more. So the end is held back for one such write,
 * and becomes STREAM_TRUNCATED if it fails; what was received but not yet read is then lost, as with a TCP reset. After
 * a clean end nothing arrives any more that could tell of a cut, so such writes are repeated while this side is open.
 * Not detectable once this side has ended its writing, or while earlier writes are queued (those fail by themselves).
 */
export function surfaceTruncation<S extends Socket>(socket: S): S {
  const push = socket.push.bind(socket)
  // Own property of this one socket: `end` itself comes too late, since a reader may already have taken it for clean.
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
