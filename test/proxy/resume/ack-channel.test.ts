import assert from 'node:assert/strict'
import type { Http2Stream } from 'node:http2'
import { PassThrough } from 'node:stream'
import { it } from 'node:test'
import { AckChannel } from '../../../src/proxy/resume/index.ts'
import { waitFor } from '../../harness/wait-for.ts'

const MEBIBYTE = 1024 * 1024
const ACK_BYTES = 16

function channel(version: number) {
  const acks = new AckChannel()
  const stream = new PassThrough()
  const sent: Buffer[] = []
  // What it writes would come back to it.
  stream.write = (chunk: Buffer) => {
    sent.push(Buffer.from(chunk))
    return true
  }
  acks.bind(stream as unknown as Http2Stream, version)
  let position = 0
  const entry = acks.attach({ id: 1, number: 0 }, { onAck: () => {}, onLost: () => {}, position: () => position })
  const arrive = (size: number): void => {
    position += size
    acks.note(entry, size)
  }
  return { acks, sent, arrive }
}

it('a mebibyte of one flow is acknowledged at once, and less of it a moment later, together', async () => {
  const { sent, arrive } = channel(2)
  for (let left = MEBIBYTE; left > 0; left -= 64 * 1024) {
    assert.equal(sent.length, 0)
    arrive(64 * 1024)
  }
  assert.equal(sent.length, 1)
  arrive(10)
  arrive(10)
  assert.equal(sent.length, 1)
  await waitFor(() => sent.length === 2, 'the rest to be acknowledged')
  assert.deepEqual(
    sent.map(bytes => [bytes.length, Number(bytes.readBigUInt64BE(8))]),
    [
      [ACK_BYTES, MEBIBYTE],
      [ACK_BYTES, MEBIBYTE + 20]
    ]
  )
})

it('no sender waits for an agent of the first version, which acknowledges less often', () => {
  assert.equal(channel(1).acks.isPrompt, false)
  assert.equal(channel(2).acks.isPrompt, true)
})
