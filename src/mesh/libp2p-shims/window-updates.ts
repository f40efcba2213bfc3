import { setImmediate as nextTurn } from 'node:timers/promises'
import type { MessageStream } from '@libp2p/interface'
import { multiaddrConnectionPair } from '@libp2p/utils'
import type { yamux } from '@libp2p/yamux'
import type { SelfTest } from './self-test.ts'

/** Bytes that a stream may have delivered before the peer may send as many more. A fraction of any window. */
export const UNTOLD_BYTES = 16 * 1024

export type YamuxFactory = ReturnType<ReturnType<typeof yamux>>
export type Muxer = ReturnType<YamuxFactory['createStreamMuxer']>
type Stream = ReturnType<Muxer['onCreateStream']>

/**
 * Makes the multiplexers of `factory` send a window update only when enough bytes were read.
 *
 * yamux's own stream answers each frame of data with a frame that opens the window by as much: in a stream of small
 * messages every message costs a second frame, encrypted, sent and received. A window that is smaller by at most
 * `UNTOLD_BYTES` works as well for less, and a stream with much data sends updates as often as before.
 */
export function gatherWindowUpdates(factory: YamuxFactory): YamuxFactory {
  const make = factory.createStreamMuxer.bind(factory)
  const createStreamMuxer = (connection: MessageStream): Muxer => {
    const muxer = make(connection)
    if (!hasHooks(muxer)) return muxer
    const onCreateStream = muxer.onCreateStream.bind(muxer)
    const onRemoteStream = muxer.onRemoteStream.bind(muxer)
    return Object.assign(muxer, {
      onCreateStream: () => gathered(onCreateStream(), connection),
      onRemoteStream: (stream: Stream) => onRemoteStream(gathered(stream, connection))
    })
  }
  return Object.assign(factory, { createStreamMuxer })
}

function gathered(stream: Stream, connection: MessageStream): Stream {
  if (untoldBytes(stream) === undefined) return stream
  const send = stream.sendWindowUpdate.bind(stream)
  let isFirst = true
  const sendWindowUpdate = (): void => {
    // yamux sends the first in a microtask: on a connection that has just closed it throws, and no code catches the error.
    if (connection.status !== 'open') return
    // The first may be the one that shows the peer that its stream was accepted.
    if (!isFirst && (untoldBytes(stream) ?? UNTOLD_BYTES) < UNTOLD_BYTES) return
    isFirst = false
    send()
  }
  return Object.assign(stream, { sendWindowUpdate })
}

function hasHooks(muxer: object): boolean {
  return ['onCreateStream', 'onRemoteStream'].every(name => typeof Reflect.get(muxer, name) === 'function')
}

/** Bytes that no window update has covered yet; undefined if unknown. yamux declares both windows private. */
function untoldBytes(stream: Stream): number | undefined {
  const granted: unknown = Reflect.get(stream, 'recvWindow')
  const left: unknown = Reflect.get(stream, 'recvWindowCapacity')
  const tells = typeof granted === 'number' && typeof left === 'number'
  return tells && typeof Reflect.get(stream, 'sendWindowUpdate') === 'function' ? granted - left : undefined
}

/** Makes `factory` open a stream in memory. */
export function windowUpdatesTest(factory: YamuxFactory): SelfTest {
  return {
    library: '@libp2p/yamux',
    without: 'each frame of data is answered by a frame, which costs more processor time',
    isRequired: false,
    run: async () => {
      const [near] = multiaddrConnectionPair()
      try {
        const muxer = factory.createStreamMuxer(near)
        if (!hasHooks(muxer)) return 'a multiplexer makes its streams in another way'
        const stream = muxer.onCreateStream()
        // See `sendWindowUpdate`.
        await nextTurn()
        return untoldBytes(stream) === undefined ? 'a stream does not show its windows' : undefined
      } finally {
        near.abort(new Error('tested'))
      }
    }
  }
}
