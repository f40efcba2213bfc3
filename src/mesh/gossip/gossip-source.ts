import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Stream } from '@libp2p/interface'
import { ByteQueue } from '../../wire/index.ts'
import { GOSSIP_TURN_BYTES, MAX_GOSSIP_WAITING_BYTES } from '../limits.ts'

/** The members of a neighbour's stream that gossipsub uses. */
export interface Source extends Pick<Stream, 'abort' | 'close' | 'protocol'>, AsyncIterable<Uint8Array> {
  /** Whether anybody has begun to read it. */
  readonly isRead: () => boolean
}

/**
 * The data of a stream, at most `GOSSIP_TURN_BYTES` in one turn of the event loop. More data waits; when
 * `MAX_GOSSIP_WAITING_BYTES` wait, `onFull` is called and the peer must wait with the rest.
 *
 * gossipsub processes message after message with promises alone: without turns, a whole burst, signatures included, would be
 * processed before any other work of this host, and held in memory without a bound until then.
 */
export function inTurns(stream: Stream, onFull: () => void): Source {
  const queue = new ByteQueue()
  let wake = Promise.withResolvers<void>()
  let ended = stream.status !== 'open'
  let failure: Error | undefined
  let isRead = false
  stream.addEventListener('message', ({ data }) => {
    const bytes = data.subarray()
    queue.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    if (queue.length >= MAX_GOSSIP_WAITING_BYTES && stream.readStatus === 'readable') {
      stream.pause()
      onFull()
    }
    wake.resolve()
  })
  const end = (err: Error | undefined): void => {
    failure ??= err
    ended = true
    wake.resolve()
  }
  stream.addEventListener('end', () => end(undefined))
  stream.addEventListener('close', ({ error }) => end(error))

  let left = GOSSIP_TURN_BYTES
  let turn: Promise<void> | undefined
  const take = (): Buffer => {
    const slice = queue.take(Math.min(queue.length, left))
    left -= slice.length
    turn ??= nextTurn().then(() => {
      left = GOSSIP_TURN_BYTES
      turn = undefined
    })
    return slice
  }

  async function* read(): AsyncGenerator<Uint8Array> {
    isRead = true
    for (;;) {
      while (queue.length > 0) {
        if (left === 0) await turn
        yield take()
      }
      if (stream.readStatus === 'paused') {
        stream.resume()
        // The queue now holds the data that arrived meanwhile.
        await nextTurn()
      } else if (ended) {
        if (failure !== undefined) throw failure
        return
      } else {
        await wake.promise
        wake = Promise.withResolvers()
      }
    }
  }
  return {
    protocol: stream.protocol,
    close: options => stream.close(options),
    abort: err => stream.abort(err),
    isRead: () => isRead,
    [Symbol.asyncIterator]: read
  }
}
