import assert from 'node:assert/strict'
import { type Duplex, duplexPair } from 'node:stream'
import test from 'node:test'
import fc from 'fast-check'
import { decode, encodeFrame, identityPb, readFrame } from '../../src/wire/index.ts'

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
