import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { type Duplex, duplexPair } from 'node:stream'
import test, { type TestContext } from 'node:test'
import { exchange, type Received } from '../../src/identity/exchange.ts'
import { encodeFrame, readFrame } from '../../src/wire/index.ts'
import { code, forever } from './authority.ts'

const BYTES = 64 * 1024
const bounds = { maxBytes: BYTES, maxMessages: 2, timeoutMs: 10_000, signal: forever }
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

/** Two ends of a TCP connection. */
async function sockets(t: TestContext): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address !== 'string')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const near = connect({ port: address.port, host: '127.0.0.1', allowHalfOpen: true })
  const [far] = await accepted
  server.close()
  t.after(() => near.destroy())
  t.after(() => far.destroy())
  return [near, far]
}

/** Says each text in turn, and after each waits for an answer; returns the answers. */
const asking = (...texts: string[]) =>
  async function* (received: Received): AsyncGenerator<Uint8Array, string[]> {
    const answers: string[] = []
    for (const one of texts) {
      yield Buffer.from(one)
      answers.push(text((await received.next()).value))
    }
    return answers
  }

async function* answering(received: Received): AsyncGenerator<Uint8Array, void> {
  for (let count = 0; count < 2; count += 1) yield Buffer.from(`re: ${text((await received.next()).value)}`)
}

test('two dialogues answer each other, and each ends its side of the stream', async () => {
  const [near, far] = duplexPair()
  const [answers] = await Promise.all([exchange(near, bounds, asking('a', 'b')), exchange(far, bounds, answering)])
  assert.deepEqual(answers, ['re: a', 're: b'])
  assert.ok(near.writableEnded && far.writableEnded && !near.destroyed)
})

test('the last message is not lost with the end that follows it at once, however late it is read', async t => {
  const [near, far] = await sockets(t)
  const last = Buffer.alloc(BYTES, 7)
  const asked = Promise.withResolvers<void>()
  const answered = exchange(far, bounds, async function* (received): AsyncGenerator<Uint8Array, void> {
    await received.next()
    yield last
  })
  const answer = exchange(near, bounds, async function* (received): AsyncGenerator<Uint8Array, Buffer> {
    yield Buffer.from('?')
    await asked.promise
    return (await received.next()).value
  })
  // The other side has said all, and ended, before this one reads.
  await answered
  if (!far.writableFinished) await once(far, 'finish')
  asked.resolve()
  assert.deepEqual(await answer, last)
})

test('nothing is read before it is asked for, and one message at a time', async t => {
  const [near, far] = await sockets(t)
  const gate = Promise.withResolvers<void>()
  const holding = exchange(near, { ...bounds, maxMessages: 100 }, async function* (received): AsyncGenerator<
    Uint8Array,
    number
  > {
    yield Buffer.from('ready')
    await received.next()
    await gate.promise
    return near.readableLength
  })
  const message = encodeFrame(Buffer.alloc(BYTES, 1))
  const flood = (): void => {
    while (far.write(message)) {
      // Until the connection is full.
    }
  }
  far.on('drain', flood)
  far.on('error', () => {})
  flood()
  await readFrame(far, BYTES, forever)
  // It stays full: whatever the other side sends, no more than its buffer is held here.
  while (near.readableLength < near.readableHighWaterMark) await new Promise(setImmediate)
  for (let turn = 0; turn < 100; turn += 1) await new Promise(setImmediate)
  gate.resolve()
  const held = await holding
  assert.ok(held <= 2 * BYTES + near.readableHighWaterMark, `${held} bytes held`)
})

test('a message above the limit, and one more than are asked for, end the exchange and the stream', async () => {
  for (const [sent, what] of [
    [[Buffer.alloc(BYTES + 1)], code('MESSAGE_TOO_LARGE')],
    [['a', 'b', 'c'].map(one => Buffer.from(one)), code('MESSAGE_MALFORMED', /no more than 2/)]
  ] as const) {
    const [near, far] = duplexPair()
    for (const one of sent) far.write(encodeFrame(one))
    await assert.rejects(exchange(near, bounds, asking('1', '2', '3')), what)
    assert.ok(near.destroyed)
  }
})

test('a stream that ends too soon is STREAM_TRUNCATED', async () => {
  const [near, far] = duplexPair()
  far.end(encodeFrame(Buffer.from('one')).subarray(0, 5))
  await assert.rejects(exchange(near, bounds, asking('?')), code('STREAM_TRUNCATED'))
})

test('an exchange that is not over in time, or is cancelled, ends, also while the other side takes nothing', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const silent = async (stream: Duplex, signal: AbortSignal, end: () => void): Promise<unknown> => {
    const waiting = exchange(stream, { ...bounds, signal }, async function* (): AsyncGenerator<Uint8Array, void> {
      for (;;) yield Buffer.alloc(BYTES)
    })
    const failed = waiting.then(
      () => undefined,
      (err: unknown) => err
    )
    await new Promise(setImmediate)
    end()
    const err = await failed
    assert.ok(stream.destroyed)
    return err
  }
  const [late] = duplexPair()
  const timeout = await silent(late, forever, () => t.mock.timers.tick(bounds.timeoutMs))
  assert.equal((timeout as Error).name, 'TimeoutError')
  const [cancelled] = duplexPair()
  const stop = new AbortController()
  const reason = new Error('stopping')
  assert.equal(await silent(cancelled, stop.signal, () => stop.abort(reason)), reason)
})

test('the answer of who hangs up without taking the whole question is heard', async t => {
  const [near, far] = await sockets(t)
  far.end(encodeFrame(Buffer.from('no more')))
  const heard = exchange(near, bounds, async function* (received): AsyncGenerator<Uint8Array, string> {
    yield Buffer.alloc(BYTES)
    return text((await received.next()).value)
  })
  assert.equal(await heard, 'no more')
})
