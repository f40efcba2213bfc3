import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { type Duplex, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import test, { type TestContext } from 'node:test'
import { connection, failureOf, type Host, makeHost, startHost, startPair, until } from './support.ts'

const MB = 1024 * 1024

/** A stream from `b` to `a`, seen from both ends. */
async function carrier(a: Host, b: Host): Promise<{ near: Duplex; far: Duplex }> {
  const arrived = Promise.withResolvers<Duplex>()
  a.mesh.onStream(duplex => arrived.resolve(duplex))
  const near = await b.mesh.openStream(a.mesh.peer)
  const far = await arrived.promise
  // Both are cut when the hosts stop at the end of the test.
  for (const duplex of [near, far]) duplex.on('error', () => {})
  return { near, far }
}

/** Bytes that differ at every place, so that a lost, doubled or moved piece shows. */
function* source(bytes: number, seed: number): Generator<Buffer> {
  let state = seed
  for (let left = bytes; left > 0; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const chunk = Buffer.allocUnsafe(Math.min(left, 1 + ((state >>> 8) % 200_000)))
    for (let at = 0; at + 4 <= chunk.length; at += 4) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      chunk.writeUInt32LE(state, at)
    }
    chunk.fill(7, chunk.length & ~3)
    left -= chunk.length
    yield chunk
  }
}

function digestOf(bytes: number, seed: number): string {
  const hash = createHash('sha256')
  for (const chunk of source(bytes, seed)) hash.update(chunk)
  return hash.digest('hex')
}

/** Takes everything, now and then very late. */
function stallingSink(): { sink: Writable; digest: () => string; bytes: () => number } {
  const hash = createHash('sha256')
  let bytes = 0
  let nextStall = 5 * MB
  const sink = new Writable({
    highWaterMark: 64 * 1024,
    write(chunk: Buffer, _encoding, callback) {
      hash.update(chunk)
      bytes += chunk.length
      if (bytes < nextStall) {
        callback()
        return
      }
      nextStall += 17 * MB
      setTimeout(callback, 40)
    }
  })
  return { sink, digest: () => hash.digest('hex'), bytes: () => bytes }
}

/** A TCP relay in front of a host: the link that can be cut. */
async function link(t: TestContext, target: Host): Promise<{ address: string; cut: () => void }> {
  const sockets = new Set<Socket>()
  const port = Number(/tcp\/(\d+)/.exec(target.mesh.addresses()[0]!)?.[1])
  const server = createServer(inbound => {
    const outbound = connect(port, '127.0.0.1')
    for (const socket of [inbound, outbound]) {
      sockets.add(socket)
      socket.on('error', () => {})
    }
    inbound.pipe(outbound).pipe(inbound)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  t.after(cut)
  const { port: entry } = server.address() as { port: number }
  return { address: `/ip4/127.0.0.1/tcp/${entry}/p2p/${target.mesh.peer}`, cut }
}

/** All that comes, as text. Leaves the other direction open, as `for await` by itself would not. */
async function textOf(stream: Duplex): Promise<string> {
  let text = ''
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) text += chunk
  return text
}

test('100 MB each way at once arrive whole, though both readers stall', async t => {
  const [a, b] = await startPair(t)
  const { near, far } = await carrier(a, b)
  const up = stallingSink()
  const down = stallingSink()
  await Promise.all([
    pipeline(source(100 * MB, 1), near, { end: true }),
    pipeline(far, up.sink),
    pipeline(source(100 * MB, 2), far, { end: true }),
    pipeline(near, down.sink)
  ])
  assert.deepEqual([up.bytes(), down.bytes()], [100 * MB, 100 * MB])
  assert.equal(up.digest(), digestOf(100 * MB, 1))
  assert.equal(down.digest(), digestOf(100 * MB, 2))
})

test('a reader that pauses inside its own data handler loses nothing and is not reset', async t => {
  const [a, b] = await startPair(t)
  const { near, far } = await carrier(a, b)
  let received = 0
  far.on('data', (chunk: Buffer) => {
    received += chunk.length
    far.pause()
    setImmediate(() => far.resume())
  })
  const ended = once(far, 'end')
  await pipeline(source(40 * MB, 3), near)
  await ended
  assert.equal(received, 40 * MB)
})

test('a reader that stalls, takes a little and stalls again holds a bounded amount and is not overrun', async t => {
  const [a, b] = await startPair(t)
  const { near, far } = await carrier(a, b)
  far.once('readable', () => {})
  const chunk = Buffer.alloc(64 * 1024)
  let pending: Promise<boolean> | undefined
  let accepted = 0
  /** Writes until a write is not taken; that one stays pending. */
  const writeUntilStalled = async (): Promise<void> => {
    for (;;) {
      pending ??= new Promise<boolean>(resolve => near.write(chunk, err => resolve(err == null)))
      const taken = await Promise.race([
        pending,
        new Promise<'stalled'>(resolve => setTimeout(resolve, 300, 'stalled'))
      ])
      if (taken === 'stalled') return
      assert.ok(taken, 'the stream was reset')
      pending = undefined
      accepted += chunk.length
      assert.ok(accepted < 32 * MB, 'the writer was never stopped')
    }
  }
  let received = 0
  for (let stall = 0; stall < 4; stall += 1) {
    await writeUntilStalled()
    assert.ok(accepted - received <= 4 * MB, `${accepted - received} bytes are under way`)
    // Makes the stream resume, which delivers more than the reader wants: it must pause again for good.
    received += (far.read() as Buffer).length
  }
  // And it goes on as if nothing had been.
  near.end()
  for await (const part of far) received += part.length
  assert.equal(received, accepted + (pending === undefined ? 0 : chunk.length))
})

test('a stream whose reader stalls outlives bulk on its neighbours, holds a bounded amount and loses nothing', async t => {
  const [a, b] = await startPair(t)
  const stalled = await carrier(a, b)
  const busy = await carrier(a, b)
  let accepted = 0
  const writing = (async () => {
    for (const chunk of source(24 * MB, 6)) {
      await new Promise<void>((resolve, reject) => {
        stalled.near.write(chunk, err => (err == null ? resolve() : reject(err)))
      })
      accepted += chunk.length
    }
    stalled.near.end()
  })()
  writing.catch(() => {})
  await once(stalled.far, 'readable')
  // Each time the connection takes more it says so to all of its streams, also to those that have no window left.
  busy.far.resume()
  await Promise.all([once(busy.far, 'end'), pipeline(source(200 * MB, 7), busy.near)])
  assert.ok(accepted <= 4 * MB, `${accepted} bytes were taken for a reader that stalls`)
  const hash = createHash('sha256')
  for await (const chunk of stalled.far) hash.update(chunk)
  await writing
  assert.equal(hash.digest('hex'), digestOf(24 * MB, 6))
})

test('a half-closed opener still receives the reply', async t => {
  const [a, b] = await startPair(t)
  const { near, far } = await carrier(a, b)
  near.end('question')
  assert.equal(await textOf(far), 'question')
  far.write('answer ')
  far.end('in two parts')
  assert.equal(await textOf(near), 'answer in two parts')
})

test('a half-closed accepter can still be written to', async t => {
  const [a, b] = await startPair(t)
  const { near, far } = await carrier(a, b)
  far.end('greeting')
  assert.equal(await textOf(near), 'greeting')
  near.write('late ')
  near.end('words')
  assert.equal(await textOf(far), 'late words')
})

test('what was sent before the end was said is delivered before the end', async t => {
  const [a, b] = await startPair(t)
  const { near, far } = await carrier(a, b)
  near.end(Buffer.alloc(200_000, 1))
  await once(near, 'finish')
  let received = 0
  for await (const chunk of far) received += chunk.length
  assert.equal(received, 200_000)
})

test('a stream ended at once, without a byte, ends cleanly on both sides', async t => {
  const [a, b] = await startPair(t)
  const { near, far } = await carrier(a, b)
  near.end()
  far.end()
  await Promise.all([once(near.resume(), 'end'), once(far.resume(), 'end')])
})

test('a peer that breaks off is ECONNRESET and never a clean end', async t => {
  const [a, b] = await startPair(t)
  const { near, far } = await carrier(a, b)
  let ended = false
  far.on('end', () => {
    ended = true
  })
  far.resume()
  near.write('half of a')
  await once(far, 'data')
  const failure = failureOf(far)
  near.destroy()
  assert.equal((await failure).code, 'ECONNRESET')
  assert.equal(ended, false)
})

test('a peer that breaks off after it has ended its side does not leave ours hanging', async t => {
  const [a, b] = await startPair(t)
  const { near, far } = await carrier(a, b)
  near.end('all of it')
  await once(near, 'finish')
  const failure = failureOf(far)
  near.destroy()
  assert.equal((await failure).code, 'ECONNRESET')
})

test('a link that dies is ECONNRESET on both sides and never a clean end', async t => {
  const a = await startHost(t, 'alpha')
  const { address, cut } = await link(t, a)
  const b = await makeHost(t, 'beta')
  b.mesh.addHints([address])
  await b.mesh.start()
  await connection(a, b)
  const { near, far } = await carrier(a, b)
  near.write('half of a')
  await once(far, 'readable')
  const ends: string[] = []
  near.on('end', () => ends.push('near'))
  far.on('end', () => ends.push('far'))
  near.resume()
  far.resume()
  const failures = Promise.all([failureOf(near), failureOf(far)])
  cut()
  for (const failure of await failures) assert.equal(failure.code, 'ECONNRESET')
  assert.deepEqual(ends, [])
})

test('a link that dies after the peer has ended its side is still an error for the writer', async t => {
  const a = await startHost(t, 'alpha')
  const { address, cut } = await link(t, a)
  const b = await makeHost(t, 'beta')
  b.mesh.addHints([address])
  await b.mesh.start()
  await connection(a, b)
  const { near, far } = await carrier(a, b)
  far.end('that was all')
  assert.equal(await textOf(near), 'that was all')
  const failure = failureOf(near)
  cut()
  assert.equal((await failure).code, 'ECONNRESET')
})

test('writing into a dead link fails and does not hang', async t => {
  const a = await startHost(t, 'alpha')
  const { address, cut } = await link(t, a)
  const b = await makeHost(t, 'beta')
  b.mesh.addHints([address])
  await b.mesh.start()
  await connection(a, b)
  const { near, far } = await carrier(a, b)
  const written = pipeline(source(64 * MB, 5), near)
  await once(far, 'readable')
  cut()
  await assert.rejects(written, { code: 'ECONNRESET' })
})

test('a signal that has aborted opens no stream', async t => {
  const [a, b] = await startPair(t)
  const reason = new Error('changed my mind')
  await assert.rejects(b.mesh.openStream(a.mesh.peer, { signal: AbortSignal.abort(reason) }), reason)
})

test('streams leave nothing behind', async t => {
  const [a, b] = await startPair(t)
  let open = 0
  a.mesh.onStream(duplex => {
    open += 1
    duplex.on('close', () => {
      open -= 1
    })
    duplex.pipe(duplex)
  })
  // More than may be open at once: each must have freed its place.
  for (let round = 0; round < 30; round += 1) {
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const duplex = await b.mesh.openStream(a.mesh.peer)
        duplex.end('x')
        assert.equal(await textOf(duplex), 'x')
      })
    )
  }
  await until(() => open === 0)
})
