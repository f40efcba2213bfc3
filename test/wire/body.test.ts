import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  performServerHandshake,
  type ServerHttp2Stream
} from 'node:http2'
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { type Duplex, duplexPair, PassThrough } from 'node:stream'
import { describe, it, type TestContext } from 'node:test'
import { ErrorCode } from '../../src/core/index.ts'
import { readBody } from '../../src/wire/index.ts'

const BODY = Buffer.alloc(1_687, 'proof')
const within = { maxBytes: 32 * 1024, signal: AbortSignal.timeout(30_000) }
const truncated = { code: ErrorCode.StreamTruncated }

type Serve = (stream: ServerHttp2Stream) => void

function joined(t: TestContext, [near, far]: readonly [Duplex, Duplex], serve: Serve): ClientHttp2Session {
  performServerHandshake(far as Socket).on('stream', stream => serve(stream.on('error', () => {})))
  const session = connect('https://test', { createConnection: () => near })
  session.on('error', () => {})
  t.after(() => {
    session.destroy()
    for (const one of [near, far]) one.destroy()
  })
  return session
}

/** What carries a session between agents. Over the first a whole answer, its end included, comes in one turn. */
const CARRIERS: Record<string, (t: TestContext, serve: Serve) => Promise<ClientHttp2Session>> = {
  'a stream of the mesh': async (t, serve) => joined(t, duplexPair(), serve),
  'a TCP connection': async (t, serve) => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const { port } = server.address() as { port: number }
    const near = connectTcp({ port, host: '127.0.0.1' })
    const [far] = (await once(server, 'connection')) as [Socket]
    for (const socket of [near, far]) socket.on('error', () => {})
    return joined(t, [near, far], serve)
  }
}

/** A request whose own side has ended, once its answer has begun. */
async function answered(session: ClientHttp2Session): Promise<ClientHttp2Stream> {
  const stream = session.request({ ':method': 'POST', ':path': '/' })
  stream.on('error', () => {})
  stream.end('question')
  await once(stream, 'response')
  return stream
}

function leftBehind(stream: ClientHttp2Stream): number {
  return ['data', 'aborted'].reduce((sum, event) => sum + stream.listenerCount(event), 0)
}

for (const [carrier, open] of Object.entries(CARRIERS)) {
  describe(`a body of HTTP/2 over ${carrier}`, () => {
    it('is read in full when all of it, the end included, came before anybody read', async t => {
      const session = await open(t, stream => {
        stream.respond({ ':status': 200 })
        stream.end(BODY)
      })
      const stream = await answered(session)
      // Until both sides have ended: then an iterator would begin too late.
      while (!stream.closed) await new Promise(resolve => setImmediate(resolve))
      assert.ok((await readBody(stream, within)).equals(BODY))
      assert.equal(leftBehind(stream), 0)
    })

    it('may be empty, and exactly as large as its bound', async t => {
      const bodies = [Buffer.alloc(0), BODY]
      const session = await open(t, stream => {
        stream.respond({ ':status': 200 })
        stream.end(bodies.shift())
      })
      assert.equal((await readBody(await answered(session), within)).length, 0)
      const exactly = { ...within, maxBytes: BODY.length }
      assert.ok((await readBody(await answered(session), exactly)).equals(BODY))
    })

    it('is refused as soon as it is too large, though it never ends', async t => {
      const session = await open(t, stream => {
        stream.respond({ ':status': 200 })
        stream.write(Buffer.alloc(within.maxBytes + 1))
      })
      const stream = await answered(session)
      await assert.rejects(readBody(stream, within), { code: ErrorCode.MessageTooLarge })
      assert.equal(leftBehind(stream), 0)
    })

    it('is no body when its session ends in its middle, or has ended', async t => {
      let server: ServerHttp2Stream | undefined
      const session = await open(t, stream => {
        server = stream
        stream.respond({ ':status': 200 })
        stream.write(BODY)
      })
      const stream = await answered(session)
      const reading = readBody(stream, within)
      server?.session?.destroy()
      await assert.rejects(reading, err => err instanceof Error)
      await assert.rejects(readBody(stream, within), truncated)
    })

    it('is given up for the reason of the signal', async t => {
      const session = await open(t, stream => stream.respond({ ':status': 200 }))
      const stream = await answered(session)
      const stop = new AbortController()
      const reading = readBody(stream, { ...within, signal: stop.signal })
      stop.abort(new Error('enough'))
      await assert.rejects(reading, /enough/)
      await assert.rejects(readBody(stream, { ...within, signal: stop.signal }), /enough/)
      assert.equal(leftBehind(stream), 0)
    })
  })
}

/** A frame of HTTP/2 on the first stream of a client, or, without one, about the session. */
function frame(type: number, flags: number, payload: Buffer, streamId = 1): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header.writeUInt8(type, 3)
  header.writeUInt8(flags, 4)
  header.writeUInt32BE(streamId, 5)
  return Buffer.concat([header, payload])
}

describe('a body of HTTP/2 that is reset in its middle', () => {
  // After some codes Node tells an end as if all had come.
  for (const [name, code] of Object.entries({ CANCEL: 8, REFUSED_STREAM: 7, INTERNAL_ERROR: 2 })) {
    it(`with ${name} is no body`, async t => {
      const [near, far] = duplexPair()
      const session = connect('https://test', { createConnection: () => near })
      session.on('error', () => {})
      t.after(() => {
        session.destroy()
        far.destroy()
      })
      far.write(frame(4, 0, Buffer.alloc(0), 0))
      const asked = answered(session)
      // What it sends is a request, whatever is in it.
      await once(far, 'data')
      far.resume()
      const reset = Buffer.alloc(4)
      reset.writeUInt32BE(code)
      const ok = Buffer.of(0x88)
      far.write(Buffer.concat([frame(1, 4, ok), frame(0, 0, BODY)]))
      const reading = readBody(await asked, within)
      far.write(frame(3, 0, reset))
      await assert.rejects(reading, err => err instanceof Error)
    })
  }
})

describe('a body of any stream', () => {
  it('is read when it waits in a paused one, and not twice', async () => {
    const stream = new PassThrough()
    stream.pause()
    stream.end(BODY)
    assert.ok((await readBody(stream, within)).equals(BODY))
    await assert.rejects(readBody(stream, within), truncated)
  })

  it('fails as the stream does', async () => {
    const stream = new PassThrough()
    const reading = readBody(stream, within)
    stream.write(BODY)
    stream.destroy(new Error('the link is gone'))
    await assert.rejects(reading, /the link is gone/)
  })

  it('is none when the stream closes without an end', async () => {
    const stream = new PassThrough()
    const reading = readBody(stream, within)
    stream.write(BODY)
    stream.destroy()
    await assert.rejects(reading, truncated)
  })
})
