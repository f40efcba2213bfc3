import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { describe, it } from 'node:test'
import type { MessageCalls } from '../../src/udp/native/calls.ts'
import { ARENA_BYTES, type Origin, SendBatch, SLOTS } from '../../src/udp/native/send-batch.ts'

const { EAGAIN, ENOBUFS, EINVAL, ECONNREFUSED, ENETUNREACH } = constants.errno

/** A system that answers as told, and all that it was asked. */
function system(...answers: readonly number[]) {
  const asked: { fd: number; messages: number }[] = []
  const left = [...answers]
  const calls: MessageCalls = {
    send(fd, _headers, messages) {
      asked.push({ fd, messages })
      return left.shift() ?? messages
    },
    receive: () => -EAGAIN,
    canSegment: () => true
  }
  return { asked, batch: new SendBatch(calls) }
}

function origin(options: { readonly fd?: number | undefined; readonly cuts?: boolean } = { fd: 7 }) {
  const refusals = { count: 0 }
  const made: Origin = {
    fd: () => options.fd,
    segments: () => options.cuts ?? false,
    refusedSegments: () => {
      refusals.count += 1
    }
  }
  return { refusals, origin: made }
}

const endOfTurn = (): Promise<void> => new Promise(resolve => setImmediate(() => setImmediate(resolve)))

/** Adds datagrams of these sizes and says which were dropped. */
function addAll(batch: SendBatch, from: Origin, sizes: readonly number[], to?: Buffer): readonly number[] {
  const dropped: number[] = []
  for (const [index, size] of sizes.entries()) {
    const note = (bytes: number): void => {
      assert.equal(bytes, size)
      dropped.push(index)
    }
    batch.add(from, Buffer.alloc(size), to, { dropped: note })
  }
  return dropped
}

describe('what is sent in one turn', () => {
  it('leaves with one call at its end', async () => {
    const { asked, batch } = system()
    addAll(batch, origin().origin, [1, 2, 3])
    assert.deepEqual(asked, [])
    await endOfTurn()
    assert.deepEqual(asked, [{ fd: 7, messages: 3 }])
    addAll(batch, origin().origin, [4])
    await endOfTurn()
    assert.equal(asked.length, 2)
  })

  it('leaves at once when there is no more room, of slots or of memory', () => {
    const { asked, batch } = system()
    addAll(batch, origin().origin, new Array(SLOTS).fill(1))
    assert.deepEqual(asked, [])
    const same = origin().origin
    addAll(batch, same, [1])
    assert.deepEqual(asked, [{ fd: 7, messages: SLOTS }])
    addAll(batch, same, [ARENA_BYTES - 1, 1])
    assert.deepEqual(asked.at(-1), { fd: 7, messages: 2 })
    batch.flush()
    assert.throws(() => addAll(batch, same, [ARENA_BYTES + 1]), RangeError)
    assert.throws(() => batch.add(same, Buffer.alloc(1), Buffer.alloc(29), undefined), RangeError)
  })

  it('is never mixed with that of another socket', () => {
    const { asked, batch } = system()
    const [one, other] = [origin({ fd: 7 }).origin, origin({ fd: 8 }).origin]
    addAll(batch, one, [1, 1])
    addAll(batch, other, [1])
    addAll(batch, one, [1])
    batch.flush()
    assert.deepEqual(
      asked.map(({ fd, messages }) => [fd, messages]),
      [
        [7, 2],
        [8, 1],
        [7, 1]
      ]
    )
  })

  it('goes to no descriptor once the socket is closed: the number may be another file by then', () => {
    const { asked, batch } = system()
    const options: { fd: number | undefined } = { fd: 7 }
    addAll(batch, origin(options).origin, [1, 1])
    options.fd = undefined
    batch.flush()
    assert.deepEqual(asked, [])
  })

  for (const [name, errno] of Object.entries({ EAGAIN, ENOBUFS })) {
    it(`is dropped and said to be, from where the system takes no more (${name})`, () => {
      const { asked, batch } = system(3, -errno)
      const dropped = addAll(batch, origin().origin, [10, 20, 30, 40, 50])
      batch.flush()
      assert.deepEqual(dropped, [3, 4])
      assert.deepEqual(asked, [
        { fd: 7, messages: 5 },
        { fd: 7, messages: 2 }
      ])
      batch.flush()
      assert.equal(asked.length, 2)
    })
  }

  it('ends if the system takes nothing and says nothing', () => {
    const { batch } = system(0)
    const dropped = addAll(batch, origin().origin, [1, 1])
    batch.flush()
    assert.deepEqual(dropped, [0, 1])
  })

  it('loses one datagram to a refusal or an unreachable network, and sends the others', () => {
    const { asked, batch } = system(1, -ECONNREFUSED, 1, -ENETUNREACH)
    const dropped = addAll(batch, origin().origin, [1, 2, 3, 4, 5])
    batch.flush()
    assert.deepEqual(
      asked.map(({ messages }) => messages),
      [5, 4, 3, 2, 1]
    )
    assert.deepEqual(dropped, [])
  })
})

describe('datagrams of one size to one place', () => {
  const place = Buffer.alloc(16)

  it('are one message, which a shorter one may end', () => {
    const { asked, batch } = system()
    const { origin: from } = origin({ fd: 7, cuts: true })
    for (const [sizes, messages] of [
      [[500, 500, 500], 1],
      [[500, 500, 300, 300], 2],
      [[300, 500], 2],
      [[500, 0, 500], 3],
      [new Array(64).fill(9), 1],
      [new Array(65).fill(9), 2],
      [new Array(60).fill(1_400), 2],
      [[1_453, 1_453], 2]
    ] as const) {
      addAll(batch, from, sizes, place)
      batch.flush()
      assert.equal(asked.at(-1)?.messages, messages, `${sizes.join()}`)
    }
    addAll(batch, from, [500], place)
    addAll(batch, from, [500], Buffer.alloc(16))
    addAll(batch, from, [500])
    batch.flush()
    assert.equal(asked.at(-1)?.messages, 3)
  })

  it('are sent one by one if the kernel cannot cut them, and none twice', () => {
    const { asked, batch } = system(1, -EINVAL)
    const { refusals, origin: from } = origin({ fd: 7, cuts: true })
    const dropped = addAll(batch, from, [700, 500, 500, 500, 400], place)
    batch.flush()
    // 700 and 500 are one message (a shorter one ends it), then 500, 500, 400.
    assert.deepEqual(
      asked.map(({ messages }) => messages),
      [2, 1, 3]
    )
    assert.equal(refusals.count, 1)
    assert.deepEqual(dropped, [])
  })

  it('are all dropped with their message', () => {
    const { batch } = system(1, -EAGAIN)
    const dropped = addAll(batch, origin({ fd: 7, cuts: true }).origin, [700, 500, 500, 500, 400], place)
    batch.flush()
    assert.deepEqual(dropped, [2, 3, 4])
  })
})
