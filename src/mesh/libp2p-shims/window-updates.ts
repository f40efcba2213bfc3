import type { MessageStream } from '@libp2p/interface'
import type { yamux } from '@libp2p/yamux'

/** Bytes that a stream may have brought before the peer is told that it may send as many more. A fraction of any window. */
export const UNTOLD_BYTES = 16 * 1024

type YamuxFactory = ReturnType<ReturnType<typeof yamux>>
type Muxer = ReturnType<YamuxFactory['createStreamMuxer']>
type Stream = ReturnType<Muxer['onCreateStream']>

/**
 * Has the multiplexers that `factory` makes tell the peer of what was read once there is something to tell.
 *
 * yamux's own stream answers each frame of data with a frame that opens the window by as much: to a stream of small
 * messages every message costs a second frame, encrypted, sent and taken in. A window that is smaller by `UNTOLD_BYTES`
 * at most does the same for less, and a stream that brings much tells as often as before.
 */
export function gatherWindowUpdates(factory: YamuxFactory): YamuxFactory {
  const make = factory.createStreamMuxer.bind(factory)
  const createStreamMuxer = (connection: MessageStream): Muxer => {
    const muxer = make(connection)
    const onCreateStream = muxer.onCreateStream.bind(muxer)
    const onRemoteStream = muxer.onRemoteStream.bind(muxer)
    return Object.assign(muxer, {
      onCreateStream: () => gathered(onCreateStream()),
      onRemoteStream: (stream: Stream) => onRemoteStream(gathered(stream))
    })
  }
  return Object.assign(factory, { createStreamMuxer })
}

function gathered(stream: Stream): Stream {
  const send = stream.sendWindowUpdate.bind(stream)
  let isFirst = true
  const sendWindowUpdate = (): void => {
    // The first may be what tells the peer that its stream was accepted.
    if (!isFirst && untoldBytes(stream) < UNTOLD_BYTES) return
    isFirst = false
    send()
  }
  return Object.assign(stream, { sendWindowUpdate })
}

function untoldBytes(stream: Stream): number {
  // yamux declares them private; if they are gone one day, it tells after each frame again.
  const granted: unknown = Reflect.get(stream, 'recvWindow')
  const left: unknown = Reflect.get(stream, 'recvWindowCapacity')
  return typeof granted === 'number' && typeof left === 'number' ? granted - left : Number.POSITIVE_INFINITY
}
