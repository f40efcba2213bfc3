import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { Writable } from 'node:stream'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Kind, MAX_FIRST_BYTES, MAX_MESSAGE_BYTES, openWith } from '../../src/proxy/fastpath/format.ts'
import { readOpen } from '../../src/proxy/fastpath/open-message.ts'
import { RecordConnection } from '../../src/proxy/fastpath/record-connection.ts'
import { RecordReader } from '../../src/proxy/fastpath/record-reader.ts'
import { RecordWriter } from '../../src/proxy/fastpath/record-writer.ts'
import { ReplayGuard } from '../../src/proxy/fastpath/replay-guard.ts'

/** As a TLS exporter: other bytes for each label and context. */
const exporter = (bytes: number, label: string, context: Buffer): Buffer =>
  createHash('shake256', { outputLength: bytes }).update(label).update(context).digest()
const name = { sender: 'client', streamId: 2, salt: Buffer.alloc(16, 1) } as const

type Written = readonly [Kind, Buffer]
const empty = (kind: Kind): Written => [kind, Buffer.alloc(0)]
const HELLO = empty(Kind.Hello)
const END = empty(Kind.End)
const GRANTED = empty(Kind.Granted)
const open = (content: string): Written => [Kind.Open, Buffer.from(content)]
const data = (content: string | Uint8Array): Written => [Kind.Data, Buffer.from(content)]

function seal(records: readonly Written[], writer: RecordWriter): Buffer[] {
  return records.map(([kind, content]) => {
    const out = Buffer.alloc(content.length + 20)
    return out.subarray(0, writer.write(kind, content, out))
  })
}

/** A pooled fast-path connection of which one end is played by the test. */
function makeConnection(
  end: 'opener' | 'other',
  resting: Partial<ConstructorParameters<typeof RecordConnection>[2]> = {},
  takesFirstBytes = false
) {
  const heard: string[] = []
  const events = {
    data: (bytes: Buffer, done: () => void) => {
      heard.push(bytes.toString('latin1'))
      done()
      return true
    },
    ended: () => heard.push('|'),
    answered: (refusal: Buffer | undefined) => heard.push(refusal === undefined ? 'granted' : `refused ${refusal}`),
    closed: (err: Error) => heard.push(err.constructor.name)
  }
  const connection = new RecordConnection(
    { writer: new RecordWriter(exporter, name), reader: new RecordReader(exporter, name) },
    { end, isPooled: true, takesFirstBytes },
    events
  )
  connection.whenIdle({ closed: events.closed, ...resting }, () => {})
  return { connection, events, heard, writer: new RecordWriter(exporter, name) }
}

function feed(
  { connection, writer }: ReturnType<typeof makeConnection>,
  records: readonly Written[],
  together: boolean
): void {
  const pieces = seal(records, writer)
  for (const piece of together ? [Buffer.concat(pieces)] : pieces) connection.received(piece)
}

describe('the flows of a pooled fast-path connection', () => {
  it('come one after another as they were sent, however the network cuts them up', () => {
    const flows = fc.array(
      fc.record({
        open: fc.string({ maxLength: 20 }),
        chunks: fc.array(fc.uint8Array({ maxLength: 500 }), { maxLength: 4 })
      }),
      { maxLength: 6 }
    )
    fc.assert(
      fc.property(flows, fc.array(fc.nat(), { maxLength: 20 }), (flows, places) => {
        const got: { open: string; bytes: Buffer }[] = []
        const played = makeConnection('other', {
          asked: content => {
            const flow = { open: content.toString(), bytes: Buffer.alloc(0) }
            got.push(flow)
            played.connection.subscribe({
              data: (bytes, done) => {
                flow.bytes = Buffer.concat([flow.bytes, bytes])
                done()
                return true
              },
              closed: () => assert.fail()
            })
            played.connection.grant()
            played.connection.end(() => {})
          }
        })
        const records = flows.flatMap(flow => [open(flow.open), ...flow.chunks.map(data), END])
        const bytes = Buffer.concat(seal([HELLO, ...records], played.writer))
        let from = 0
        for (const place of [...places.map(at => at % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
          played.connection.received(bytes.subarray(from, place))
          from = place
        }
        assert.deepEqual(
          got,
          flows.map(flow => ({ open: flow.open, bytes: Buffer.concat(flow.chunks) }))
        )
        assert.ok(played.connection.isIdle)
      })
    )
  })

  it('have an order at the end that is asked: a fast-path connection ends at the first record that is out of it', () => {
    const bad: readonly (readonly Written[])[] = [
      [open('a')],
      [HELLO, data('x')],
      [HELLO, END],
      [HELLO, GRANTED],
      [HELLO, empty(Kind.Refused)],
      [HELLO, [Kind.Start, Buffer.alloc(8)]],
      [HELLO, empty(Kind.Stay)],
      // Not answered yet.
      [HELLO, open('wait'), open('b')],
      [HELLO, open('wait'), data('x')],
      [HELLO, open('wait'), END],
      [HELLO, open('grant'), open('b')],
      [HELLO, open('grant'), END, data('x')],
      // Our direction has not ended.
      [HELLO, open('grant'), END, open('b')],
      [HELLO, open('refuse'), data('x')],
      [HELLO, open('refuse'), END]
    ]
    for (const records of bad) {
      for (const together of [true, false]) {
        const played = makeConnection('other', {
          asked: content => {
            played.connection.subscribe(played.events)
            if (content.toString() === 'grant') played.connection.grant()
            if (content.toString() === 'refuse') played.connection.refuse(Buffer.from('no'))
          }
        })
        feed(played, records, together)
        assert.equal(played.heard.at(-1), 'RecordViolation', JSON.stringify(records))
        assert.ok(played.connection.isClosed)
      }
    }
  })

  it('have an order at the end that asks', () => {
    const bad: readonly (readonly [asks: boolean, readonly Written[]])[] = [
      [false, [HELLO, open('a')]],
      [false, [HELLO, GRANTED]],
      [false, [HELLO, data('x')]],
      [true, [data('x')]],
      [true, [END]],
      [true, [open('a')]],
      [true, [GRANTED, GRANTED]],
      [true, [GRANTED, [Kind.Refused, Buffer.from('no')]]],
      [true, [GRANTED, END, data('x')]],
      [true, [[Kind.Refused, Buffer.from('no')], data('x')]],
      [true, [[Kind.Refused, Buffer.from('no')], GRANTED]]
    ]
    for (const [asks, records] of bad) {
      for (const together of [true, false]) {
        const played = makeConnection('opener')
        if (asks) {
          feed(played, [HELLO], true)
          played.connection.ask(Buffer.from('may I'), played.events)
        }
        feed(played, records, together)
        assert.equal(played.heard.at(-1), 'RecordViolation', JSON.stringify(records))
        assert.ok(played.connection.isClosed)
      }
    }
  })

  it('are asked for by who reads the answers: else the fast-path connection ends, and little waits', () => {
    const unread = new Writable({ write: () => {} })
    const played = makeConnection('other', { asked: () => played.connection.refuse(Buffer.from('no')) })
    // What is written stays where it is, as with an end that reads nothing.
    played.connection.bind(Object.assign(unread, { resume: () => unread }) as unknown as Socket)
    feed(played, [HELLO], true)
    let asked = 0
    for (; !played.connection.isClosed && asked < 1_000; asked += 1) feed(played, [open('again')], true)
    assert.ok(asked < 20)
    assert.deepEqual(played.heard, ['RecordViolation'])
  })

  it('bring no first bytes, nor does their grant, in a version that knows of none', () => {
    const together = openWith(Buffer.from('a'), Buffer.from('x'))
    const first: readonly (readonly ['opener' | 'other', takes: boolean, heard: string, Written])[] = [
      ['other', true, 'x', [Kind.OpenWith, together]],
      ['other', false, 'RecordViolation', [Kind.OpenWith, together]],
      ['other', true, 'RecordViolation', [Kind.OpenWith, together.subarray(0, 2)]],
      ['other', true, 'RecordViolation', [Kind.OpenWith, Buffer.alloc(1)]],
      ['opener', true, 'y', [Kind.GrantedWith, Buffer.from('y')]],
      ['opener', false, 'RecordViolation', [Kind.GrantedWith, Buffer.from('y')]],
      ['opener', true, 'RecordViolation', [Kind.OpenWith, together]],
      ['opener', true, 'RecordViolation', [Kind.GrantedWith, Buffer.alloc(MAX_FIRST_BYTES + 1)]]
    ]
    for (const [end, takes, heard, record] of first) {
      const asked = (_open: Buffer, bytes: Buffer): void => void played.heard.push(bytes.toString())
      const played = makeConnection(end, { asked }, takes)
      feed(played, [HELLO], true)
      if (end === 'opener') played.connection.ask(Buffer.from('may I'), played.events)
      feed(played, [record], true)
      assert.equal(played.heard.at(-1), heard, `${end} ${takes} ${record[0]}`)
    }
  })

  it('are granted with the answer in one record where it is there in a moment, and without it where it is not', async () => {
    const answers: readonly (readonly [answer: Buffer | 'end' | 'none', kinds: readonly Kind[]])[] = [
      [Buffer.from('yes'), [Kind.GrantedWith]],
      [Buffer.alloc(MAX_FIRST_BYTES + 1), [Kind.Granted, Kind.Data]],
      ['end', [Kind.Granted, Kind.End]],
      ['none', [Kind.Granted]]
    ]
    for (const [answer, kinds] of answers) {
      const written: number[] = []
      const enough = Promise.withResolvers<void>()
      const out = new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          written.push(chunk[0] ?? 0)
          if (written.length === kinds.length) enough.resolve()
          done()
        }
      })
      const played = makeConnection('other', { asked: () => played.connection.grant(true) }, true)
      played.connection.bind(Object.assign(out, { resume: () => out }) as unknown as Socket)
      feed(played, [HELLO, [Kind.OpenWith, openWith(Buffer.from('a'), Buffer.from('x'))]], true)
      assert.deepEqual(written, [])
      if (answer === 'end') played.connection.end(() => {})
      else if (answer !== 'none') played.connection.send(answer)
      await enough.promise
      assert.deepEqual(written, kinds)
      assert.equal(played.connection.counted.sentBytes, Buffer.isBuffer(answer) ? answer.length : 0)
    }
  })

  it('rest between one another: what held one back does not hold the next', () => {
    const played = makeConnection('opener')
    feed(played, [HELLO], true)
    played.connection.ask(Buffer.from('first'), {
      ...played.events,
      data: (_bytes, done) => {
        done()
        return false
      }
    })
    feed(played, [GRANTED, data('x'), END], true)
    assert.ok(!played.connection.isIdle)
    played.connection.end(() => {})
    assert.ok(played.connection.isIdle)
    played.connection.ask(Buffer.from('second'), played.events)
    const [piece = Buffer.alloc(0)] = seal([GRANTED], played.writer)
    assert.equal(played.connection.received(piece), true)
    assert.deepEqual(played.heard, ['granted', '|', 'granted'])
  })
})

describe('the numbers of pooled fast-path connections', () => {
  it('are accepted once each, in any order that is nearly theirs, and what was long ago never', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200 })), numbers => {
        const once = new ReplayGuard(64)
        const seen = new Set<number>()
        for (const number of numbers) {
          const highest = Math.max(0, ...seen)
          assert.equal(once.isNew(number), !seen.has(number) && number > highest - 64)
          if (once.isNew(number)) once.see(number)
          if (number > highest - 64) seen.add(number)
        }
      })
    )
  })
})

describe('what a record asks for', () => {
  it('is refused in bounded time unless it is a FlowOpen', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: MAX_MESSAGE_BYTES }), bytes => {
        try {
          readOpen(Buffer.from(bytes))
        } catch (err) {
          assert.match(String(err), /MESSAGE_MALFORMED/)
        }
      })
    )
    assert.throws(() => readOpen(Buffer.alloc(MAX_MESSAGE_BYTES + 1)), /MESSAGE_TOO_LARGE/)
  })
})
