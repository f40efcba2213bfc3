import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { ErrorCode, WarrenError } from '../../../core/index.ts'

/**
 * Joins a brokered connection to standard input and output; each direction ends independently.
 *
 * Resolves once both directions have ended; on a terminal, once the other end has, since nobody ends a terminal's input
 * for a closed connection. Rejects with STREAM_TRUNCATED if the connection is cut.
 */
export async function relayStdio(
  socket: Socket,
  input: Readable & { isTTY?: boolean },
  output: Writable
): Promise<void> {
  const cut = firstError(socket)
  const receiving = pipeline(socket, output, { end: false })
  const sending = pipeline(input, socket)
  try {
    if (input.isTTY === true) {
      // A failure to send ends it too; its success alone does not.
      await Promise.race([receiving, sending.then(() => receiving)])
      // Nobody at the terminal ends it, and it is no reset.
      if (!socket.writableEnded) socket.end()
      if (!socket.destroyed) await finished(socket, { readable: false })
    } else {
      await Promise.all([receiving, sending])
    }
  } catch (err) {
    throw cutError(cut() ?? err)
  } finally {
    // The loser of the race must not become an unhandled rejection.
    sending.catch(() => {})
    receiving.catch(() => {})
    socket.destroy()
  }
}

/**
 * Joins two sockets; each direction ends independently. Both must be half-open.
 *
 * Resolves once both directions have ended. If either side breaks, `abort` is called for `local`, so that nobody takes half
 * an answer for a whole one, and `brokered` is destroyed; it rejects with STREAM_TRUNCATED.
 */
export async function relaySockets(local: Socket, brokered: Socket, abort: (local: Socket) => void): Promise<void> {
  const localCut = firstError(local)
  const brokeredCut = firstError(brokered)
  try {
    // Not pipeline: it would close the other side before it can be reset, which looks like a clean end.
    local.pipe(brokered)
    brokered.pipe(local)
    await Promise.all([finished(local), finished(brokered)])
  } catch (err) {
    abort(local)
    brokered.destroy()
    throw cutError(brokeredCut() ?? localCut() ?? err)
  }
}

// The first error of a stream; the pipelines around it only say that it closed early.
function firstError(socket: Socket): () => Error | undefined {
  let first: Error | undefined
  socket.on('error', err => {
    first ??= err
  })
  return () => first
}

function cutError(err: unknown): unknown {
  if (!(err instanceof Error) || err.name === 'WarrenError') return err
  const code = 'code' in err && typeof err.code === 'string' ? err.code : ''
  const lost = ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'].includes(code)
  if (!lost) return err
  return new WarrenError(ErrorCode.StreamTruncated, 'the connection was cut before its end', {
    hint: 'The log of the agent says why; `warren explain` says whether it is allowed.',
    cause: err
  })
}
