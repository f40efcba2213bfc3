import { setImmediate as nextTurn } from 'node:timers/promises'
import type { GossipSub } from '@libp2p/gossipsub'
import type { Connection, Stream } from '@libp2p/interface'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { ByteQueue } from '../../wire/index.ts'
import { GOSSIP_TURN_BYTES, MAX_GOSSIP_WAITING_BYTES } from '../limits.ts'

/** What gossipsub uses of a stream that a neighbour has opened. */
type Source = Pick<Stream, 'abort' | 'close' | 'protocol'> & AsyncIterable<Uint8Array>

/** Has `pubsub`, not started, read what neighbours send by `inTurns`; `onFull` is told whose stream was made to wait. */
export function readInTurns(pubsub: GossipSub, onFull: (connection: Connection) => void): GossipSub {
  const take: unknown = Reflect.get(pubsub, 'onIncomingStream')
  // Unpaced, one neighbour could hold up everything that this host does.
  if (typeof take !== 'function') throw new WarrenError(ErrorCode.Internal, 'gossipsub takes streams in another way')
  const onIncomingStream = (stream: Stream, connection: Connection): void => {
    take.call(
      pubsub,
      inTurns(stream, () => onFull(connection)),
      connection
    )
  }
  return Object.assign(pubsub, { onIncomingStream })
}

/**
 * What comes over a stream, at most `GOSSIP_TURN_BYTES` in a turn of the event loop. More waits; where
 * `MAX_GOSSIP_WAITING_BYTES` wait, `onFull` is called and the peer has to wait with the rest.
 *
 * gossipsub takes message after message with promises alone: a burst that has come would be worked off, signatures and
 * all, before anything else that this host does had its turn, and was held without a bound until then.
 */
export function inTurns(stream: Stream, onFull: () => void): Source {
  const queue = new ByteQueue()
  let wake = Promise.withResolvers<void>()
  let ended = stream.status !== 'open'
  let failure: Error | undefined
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
    for (;;) {
      while (queue.length > 0) {
        if (left === 0) await turn
        yield take()
      }
      if (stream.readStatus === 'paused') {
        stream.resume()
        // What had come meanwhile is in the queue now.
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
    [Symbol.asyncIterator]: read
  }
}
