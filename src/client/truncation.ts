import type { Socket } from 'node:net'
import { ErrorCode, stopReading, WarrenError } from '../core/index.ts'
import { truncated, type Witness } from './witness.ts'
import { weighYoung } from './young-weight.ts'

const NOTHING = Buffer.alloc(0)
/**
 * Interval of checks, after a clean end, that a reader still exists: the maximum delay of noticing a cut, in
 * milliseconds.
 */
const PROBE_MS = 250

/** The questions to the agent that the end of a connection raises. */
type Witnesses = Pick<Witness, 'explain' | 'verdict' | 'reset'>

/**
 * Makes the abrupt end of a unix connection an error of `socket` instead of a clean end.
 *
 * A peer that closed both directions and one that ended only its own look alike to a reader. They differ for a writer:
 * a write of no bytes fails with EPIPE only if no reader exists any more. So the end is held back for one such write,
 * and becomes STREAM_TRUNCATED if it fails; data that was received but not yet read is then lost, as with a TCP reset.
 * After a clean end no data arrives that could show a cut, so such writes are repeated while this side is open. A cut
 * is not detectable so once this side has ended its writing, or while earlier writes are queued (those fail on their
 * own).
 *
 * The agent knows the rest: `witness` is asked for the reason of each cut and, with `isStrict`, for the verdict on an
 * end that is not detectable; and a strict socket that is destroyed after the other side's end is reset there.
 */
export function surfaceTruncation<S extends Socket>(socket: S, witness: Witnesses, isStrict = false): S {
  const push = socket.push.bind(socket)
  // Own property of this one socket: `end` itself comes too late, since a reader may already have accepted it as clean.
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk instanceof Uint8Array) weighYoung(chunk.length)
    if (chunk !== null || socket.destroyed) return push(chunk, encoding)
    const isProbed = isOpen(socket) && socket.writableLength === 0
    const end = (): void => {
      push(null)
      if (isOpen(socket)) keepProbing(socket)
    }
    if (isProbed) {
      probe(socket, end)
      return false
    }
    if (isStrict) {
      void witness.verdict().then(cut => (cut === undefined ? end() : socket.destroy(cut)))
      return false
    }
    if (isOpen(socket)) keepProbing(socket)
    return push(chunk, encoding)
  }
  explainCuts(socket, witness, isStrict)
  return socket
}

/** Holds the error of a cut back until the agent has told its reason. */
function explainCuts(socket: Socket, witness: Witnesses, isStrict: boolean): void {
  const destroy = socket._destroy.bind(socket)
  socket._destroy = (err, callback) => {
    const then = (known: Error | null): void => destroy(known, callback)
    const isExplained = err !== null && isCut(err)
    // The agent has ended its direction, so that it cannot tell a close from an end.
    const isReset = isStrict && socket.readableEnded && !socket.writableFinished
    if (!isExplained && !isReset) return then(err)
    // Bytes that the agent wrote before its cut may still be in the kernel; read now, they would end this process.
    stopReading(socket)
    void (isExplained ? witness.explain(err).then(then) : witness.reset().then(() => then(err)))
  }
}

function isCut(err: Error): boolean {
  if (WarrenError.is(err, ErrorCode.StreamTruncated)) return err.cause instanceof Error && 'syscall' in err.cause
  return 'code' in err && (err.code === 'EPIPE' || err.code === 'ECONNRESET')
}

function probe(socket: Socket, answered: () => void): void {
  socket.write(NOTHING, err => {
    // A failed write destroys the socket with its own EPIPE right after; `destroy` here comes first.
    if (err != null) socket.destroy(truncated(undefined, err))
    else answered()
  })
}

/** Destroys `socket`, whose other side has ended its direction, once nobody reads there any more. */
export function keepProbing(socket: Socket): void {
  const timer = setInterval(() => {
    if (!isOpen(socket)) clearInterval(timer)
    else if (socket.writableLength === 0) probe(socket, () => {})
  }, PROBE_MS)
  socket.once('close', () => clearInterval(timer))
}

function isOpen(socket: Socket): boolean {
  return !socket.writableEnded && !socket.destroyed
}
