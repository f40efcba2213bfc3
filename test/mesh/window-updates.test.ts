import assert from 'node:assert/strict'
import { once } from 'node:events'
import test from 'node:test'
import type { MessageStream, Stream } from '@libp2p/interface'
import { streamPair } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { gatherWindowUpdates, UNTOLD_BYTES } from '../../src/mesh/libp2p-shims/window-updates.ts'

const MESSAGE_BYTES = 100
const WINDOW_BYTES = 256 * 1024

/** A stream between two multiplexers, and how often the one that reads has sent something to the other. */
async function openStream() {
  const [near, far] = await streamPair()
  const muxer = (connection: MessageStream) =>
    gatherWindowUpdates(yamux({ enableKeepAlive: false })()).createStreamMuxer(connection)
  const [requester, answerer] = [muxer(near), muxer(far)]
  let answers = 0
  near.addEventListener('message', () => {
    answers += 1
  })
  const accepted = new Promise<Stream>(resolve =>
    answerer.addEventListener('stream', event => resolve(event.detail), { once: true })
  )
  const sender = await requester.createStream()
  sender.send(new Uint8Array(MESSAGE_BYTES))
  const receiver = await accepted
  await once(receiver, 'message')
  return { sender, receiver, answers: () => answers }
}

test('messages of a small stream are not answered by a frame each', async () => {
  const { sender, receiver, answers } = await openStream()
  const few = Math.floor(UNTOLD_BYTES / MESSAGE_BYTES) - 2
  for (let sent = 0; sent < few; sent += 1) {
    sender.send(new Uint8Array(MESSAGE_BYTES))
    await once(receiver, 'message')
  }
  receiver.send(Uint8Array.of(1))
  await once(sender, 'message')
  assert.equal(answers(), 2, 'that the stream was accepted, and the message back')
})

test('a stream carries many times its window, also when its reader pauses meanwhile', async () => {
  const { sender, receiver } = await openStream()
  const wanted = 10 * WINDOW_BYTES
  let received = 0
  let paused = 0
  const done = Promise.withResolvers<void>()
  receiver.addEventListener('message', ({ data }) => {
    received += data.byteLength
    if (received > (paused + 1) * WINDOW_BYTES) {
      paused += 1
      receiver.pause()
      setImmediate(() => receiver.resume())
    }
    if (received === wanted) done.resolve()
  })
  for (let sent = 0; sent < wanted; sent += UNTOLD_BYTES) {
    if (!sender.send(new Uint8Array(UNTOLD_BYTES))) await sender.onDrain()
  }
  await done.promise
  assert.ok(paused >= 8)
})
