import assert from 'node:assert/strict'
import { test } from 'node:test'
import { peerKeyOf } from '../../src/identity/index.ts'
import { AckQueue } from '../../src/registry/ack-queue.ts'

const OWNER = peerKeyOf(new Uint8Array(32).fill(1))

function queue() {
  const due: Array<() => void> = []
  const sent: string[] = []
  const outcomes: Array<{ readonly onDelivered: () => void; readonly onFailure: (err: unknown) => void }> = []
  const acks = new AckQueue({
    after: (_ms, run) => {
      due.push(run)
      return () => {}
    },
    ack: (_peer, bytes, onDelivered, onFailure) => {
      sent.push(Buffer.from(bytes).toString())
      outcomes.push({ onDelivered, onFailure })
      return () => {}
    }
  })
  const push = (text: string): void => acks.push(OWNER, Buffer.from(text))
  return { acks, push, sent, pass: () => due.shift()?.(), last: () => outcomes.at(-1)! }
}

test('of the acknowledgements to one owner that come while one is under way only the newest is sent', () => {
  const { acks, push, sent, last } = queue()
  push('1')
  push('2')
  push('3')
  assert.deepEqual(sent, ['1'])
  last().onDelivered()
  assert.deepEqual(sent, ['1', '3'])
  last().onDelivered()
  assert.equal(acks.size, 0)
})

test('an acknowledgement that fails is tried again with the newest, and given up after the third time', () => {
  const { acks, push, sent, pass, last } = queue()
  push('1')
  push('2')
  for (const attempt of [1, 2]) {
    last().onFailure(new Error(`${attempt}`))
    pass()
  }
  assert.deepEqual(sent, ['1', '2', '2'])
  last().onFailure(new Error('3'))
  assert.equal(acks.size, 0)
})
