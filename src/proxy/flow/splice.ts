import type { Cut } from './cut.ts'
import type { Flow } from './flow.ts'
import type { Leg } from './leg.ts'
import { countYoungGarbage } from './young-garbage.ts'

/**
 * What may wait in memory for a leg that does not take it, in bytes; with what its stream and the other one's window
 * hold, a stalled reader costs about a megabyte in all. Measured: 64 KiB costs a fifth of the bulk throughput.
 */
const MAX_WAITING_BYTES = 256 * 1024
/** Smaller ones are mostly alone in their turn: a question, an answer. */
const GATHERED_FROM_BYTES = 4 * 1024

/** A flow whose two legs are joined. */
export interface Splice {
  /**
   * Resolves with undefined after two clean ends; on anything else (either leg fails, ends without an end, or the flow is
   * cut) aborts both legs and resolves with the reason. Never rejects; never settles after `release`.
   */
  readonly over: Promise<Cut | undefined>
  readonly isOver: () => boolean
  /** Lets go of both legs as they are, paused, for somebody else to carry on. Only while it is not over. */
  readonly release: () => void
}

/** Joins the two legs of a flow until both directions have ended, each by itself, and counts their bytes. */
export function splice(flow: Flow, source: Leg, destination: Leg, onChunk: () => void = () => {}): Splice {
  const { promise, resolve } = Promise.withResolvers<Cut | undefined>()
  let open = 2
  let over = false

  const settle = (cut: Cut | undefined): void => {
    over = true
    flow.signal.removeEventListener('abort', onCut)
    if (cut !== undefined) {
      source.abort(cut.kind)
      destination.abort(cut.kind)
    }
    resolve(cut)
  }
  const fail = (cut: Cut): void => {
    if (!over) settle(flow.cutBy ?? cut)
  }
  const onCut = (): void => {
    fail(flow.cutBy ?? { kind: 'shutdown', text: 'cut' })
  }
  const half = (): void => {
    open -= 1
    if (open === 0 && !over) settle(undefined)
  }

  flow.waitingBytes = () => source.stream.writableLength + destination.stream.writableLength
  flow.signal.addEventListener('abort', onCut, { once: true })
  const letGo = [
    watch(source, fail),
    watch(destination, fail),
    carry(source, destination, fail, half, bytes => {
      flow.bytesOut += bytes
      onChunk()
    }),
    carry(destination, source, fail, half, bytes => {
      flow.bytesIn += bytes
      onChunk()
    })
  ]
  if (flow.signal.aborted) onCut()
  return {
    over: promise,
    isOver: () => over,
    release: () => {
      over = true
      flow.signal.removeEventListener('abort', onCut)
      for (const release of letGo) release()
    }
  }
}

function watch(leg: Leg, fail: (cut: Cut) => void): () => void {
  const { stream } = leg
  const onFailure = (err?: Error): void => {
    fail(leg.failure(err))
  }
  const onAborted = (): void => onFailure()
  const onClose = (): void => {
    if (!stream.readableEnded || !stream.writableFinished) onFailure()
  }
  // Stays for the life of the stream: an error after the flow is over must not be unhandled.
  stream.on('error', onFailure)
  stream.once('aborted', onAborted)
  stream.once('close', onClose)
  if (stream.destroyed) onFailure()
  return () => {
    stream.off('aborted', onAborted)
    stream.off('close', onClose)
  }
}

function carry(
  from: Leg,
  to: Leg,
  fail: (cut: Cut) => void,
  done: () => void,
  count: (bytes: number) => void
): () => void {
  const { stream: input } = from
  const { stream: output } = to
  let gathering = false
  const release = (): void => {
    if (!gathering) return
    gathering = false
    output.uncork()
  }
  const onData = (chunk: Buffer): void => {
    count(chunk.length)
    countYoungGarbage(chunk.length)
    if (output.destroyed) return
    // Beyond the stream's own mark `drain` is sure to come, so this bound may lie above it.
    if (!output.write(chunk) && output.writableLength >= MAX_WAITING_BYTES) input.pause()
    // The first chunk of a turn leaves at once, the others together: one decrypted read arrives in pieces of at most
    // 16 KiB, and a system call for each of them took the destination's agent two and a half times as long.
    if (gathering || chunk.length < GATHERED_FROM_BYTES) return
    gathering = true
    output.cork()
    setImmediate(release)
  }
  const onDrain = (): void => {
    if (input.isPaused()) input.resume()
  }
  const onEnd = (): void => {
    if (!from.isCleanEnd()) fail(from.failure(undefined))
    else if (!output.destroyed) output.end()
  }
  input.on('data', onData)
  output.on('drain', onDrain)
  input.once('end', onEnd)
  output.once('finish', done)
  input.resume()
  return () => {
    release()
    input.pause()
    input.off('data', onData)
    output.off('drain', onDrain)
    input.off('end', onEnd)
    output.off('finish', done)
  }
}
