import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type Duplex, duplexPair } from 'node:stream'
import test from 'node:test'
import fc from 'fast-check'
import { create, decode, encodeFrame, identityPb, readExactly, readFrame, toBinary } from '../../src/wire/index.ts'

const signal = new AbortController().signal
const code = (wanted: string) => (err: Error & { code?: string }) => err.code === wanted

async function writeInPieces(stream: Duplex, bytes: Buffer, cuts: readonly number[]): Promise<void> {
  let from = 0
  for (const cut of [...cuts, bytes.length]) {
    const to = Math.min(cut, bytes.length)
    if (to <= from) continue
    await new Promise<void>((resolve, reject) => {
      stream.write(bytes.subarray(from, to), err => (err == null ? resolve() : reject(err)))
    })
    from = to
  }
}

test('frames arrive whole, however the bytes are cut', async () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(frames, fc.array(fc.nat(1_000)), async (payloads, cuts) => {
      const [ours, theirs] = duplexPair()
      const bytes = Buffer.concat(payloads.map(encodeFrame))
      const writing = writeInPieces(
        theirs,
        bytes,
        cuts.toSorted((a, b) => a - b)
      )
      for (const payload of payloads) assert.deepEqual(await readFrame(ours, 200, signal), Buffer.from(payload))
      await writing
    }),
    { numRuns: 60 }
  )
})

test('a frame larger than the stream buffers arrives', async () => {
  const [ours, theirs] = duplexPair()
  const payload = Buffer.alloc(1 << 20, 7)
  theirs.write(encodeFrame(payload))
  assert.ok(payload.equals(await readFrame(ours, 1 << 20, signal)))
})

test('what follows a frame stays unread', async () => {
  const [ours, theirs] = duplexPair()
  theirs.write(Buffer.concat([encodeFrame(Buffer.from('frame')), Buffer.from('rest')]))
  assert.equal(String(await readFrame(ours, 10, signal)), 'frame')
  assert.equal(String(ours.read()), 'rest')
})

test('a protocol of others is read by the byte, and what follows stays unread', async () => {
  const [ours, theirs] = duplexPair()
  theirs.write('five!rest')
  assert.equal(String(await readExactly(ours, 5, signal)), 'five!')
  assert.equal((await readExactly(ours, 0, signal)).length, 0)
  assert.equal(String(ours.read()), 'rest')
})

test('a length above the limit is refused before the bytes arrive', async () => {
  const [ours, theirs] = duplexPair()
  theirs.write(Buffer.from('00000011', 'hex'))
  await assert.rejects(readFrame(ours, 16, signal), code('MESSAGE_TOO_LARGE'))
})

test('an end inside a frame is an error, at each place', async () => {
  const frame = encodeFrame(Buffer.from('payload'))
  for (let length = 0; length < frame.length; length += 1) {
    const [ours, theirs] = duplexPair()
    theirs.end(frame.subarray(0, length))
    await assert.rejects(readFrame(ours, 16, signal), code('STREAM_TRUNCATED'), `after ${length} bytes`)
  }
})

test('a reader that gives up is heard, and a destroyed stream is no end', async () => {
  const [ours, theirs] = duplexPair()
  const giveUp = new AbortController()
  const reading = readFrame(ours, 16, giveUp.signal)
  giveUp.abort(new Error('enough'))
  await assert.rejects(reading, /enough/)
  const other = readFrame(ours, 16, signal)
  ours.destroy(new Error('reset'))
  await assert.rejects(other, /reset/)
  theirs.destroy()
})

// Listeners once stayed on the stream, and one for 'readable' kept the data from whoever read it next.
test('a reader that gives up leaves the stream to the next one', async () => {
  const [ours, theirs] = duplexPair()
  const before = ours.eventNames().map(name => [name, ours.listenerCount(name)])
  for (let round = 0; round < 20; round += 1) {
    const giveUp = new AbortController()
    const reading = readFrame(ours, 16, giveUp.signal)
    giveUp.abort(new Error('enough'))
    await assert.rejects(reading, /enough/)
  }
  assert.deepEqual(
    ours.eventNames().map(name => [name, ours.listenerCount(name)]),
    before
  )
  theirs.write(encodeFrame(Buffer.from('late')))
  assert.equal(String(await readFrame(ours, 16, signal)), 'late')
  const next = once(ours, 'data')
  theirs.write('rest')
  assert.equal(String((await next)[0]), 'rest')
})

test('a signal that has aborted reads nothing that is not there yet', async () => {
  const [ours] = duplexPair()
  await assert.rejects(readFrame(ours, 16, AbortSignal.abort(new Error('before'))), /before/)
})

test('a frame cut at any one place, and byte by byte, arrives whole', async () => {
  const frame = encodeFrame(Buffer.from('payload'))
  for (let cut = 1; cut < frame.length; cut += 1) {
    const [ours, theirs] = duplexPair()
    const writing = writeInPieces(theirs, frame, [cut])
    assert.equal(String(await readFrame(ours, 7, signal)), 'payload', `cut at ${cut}`)
    await writing
  }
  const [ours, theirs] = duplexPair()
  const writing = writeInPieces(theirs, frame, [...frame.keys()])
  assert.equal(String(await readFrame(ours, 7, signal)), 'payload')
  await writing
})

test('many frames in one chunk arrive one by one, and then the end', async () => {
  const [ours, theirs] = duplexPair()
  const payloads = Array.from({ length: 500 }, (_, at) => Buffer.alloc(at % 9, at))
  theirs.end(Buffer.concat(payloads.map(encodeFrame)))
  for (const payload of payloads) assert.deepEqual(await readFrame(ours, 8, signal), payload)
  await assert.rejects(readFrame(ours, 8, signal), code('STREAM_TRUNCATED'))
})

test('a frame of exactly the limit is read, and an empty one with a limit of nothing', async () => {
  const [ours, theirs] = duplexPair()
  theirs.write(Buffer.concat([encodeFrame(Buffer.alloc(16, 1)), encodeFrame(Buffer.alloc(0))]))
  assert.equal((await readFrame(ours, 16, signal)).length, 16)
  assert.equal((await readFrame(ours, 0, signal)).length, 0)
  theirs.write(Buffer.from('ffffffff', 'hex'))
  await assert.rejects(readFrame(ours, 2 ** 31, signal), code('MESSAGE_TOO_LARGE'))
})

test('a message of one byte above its limit is refused by its size, before it is looked at', () => {
  const message = toBinary(
    identityPb.JoinRequestSchema,
    create(identityPb.JoinRequestSchema, { secret: randomBytes(9) })
  )
  assert.equal(decode(identityPb.JoinRequestSchema, message, message.length).secret.length, 9)
  assert.throws(() => decode(identityPb.JoinRequestSchema, message, message.length - 1), code('MESSAGE_TOO_LARGE'))
  assert.throws(() => decode(identityPb.JoinRequestSchema, Buffer.alloc(9, 255), 8), code('MESSAGE_TOO_LARGE'))
})

test('a message nested as deep as its size allows is refused, and does not end the process', () => {
  // Unknown groups, which a reader skips by recursion.
  assert.throws(
    () => decode(identityPb.JoinRequestSchema, Buffer.alloc(60_000, 0x7b), 65_536),
    code('MESSAGE_MALFORMED')
  )
})

test('whatever the bytes, decoding gives a message or an error with a code', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
      try {
        decode(identityPb.JoinRequestSchema, bytes, 256)
        assert.ok(bytes.length <= 256)
      } catch (err) {
        assert.match((err as { code?: string }).code ?? '', /^MESSAGE_(TOO_LARGE|MALFORMED)$/)
      }
    })
  )
})
