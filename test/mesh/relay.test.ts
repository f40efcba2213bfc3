import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import test, { type TestContext } from 'node:test'
import { MAX_RELAYED_PER_PEER } from '../../src/mesh/limits.ts'
import { connection, failureOf, type Host, startHost, until } from './support.ts'

const MB = 1024 * 1024

/** `a` and `b` are each connected to `middle`, and know nothing of each other. */
async function startThree(t: TestContext): Promise<{ a: Host; b: Host; middle: Host }> {
  const middle = await startHost(t, 'middle')
  const a = await startHost(t, 'alpha', { bootstrap: middle.mesh.addresses() })
  const b = await startHost(t, 'beta', { bootstrap: middle.mesh.addresses() })
  await Promise.all([connection(a, middle), connection(b, middle)])
  assert.equal(a.mesh.isConnected(b.mesh.peer), false)
  return { a, b, middle }
}

async function relayed(from: Host, to: Host) {
  const arrived = Promise.withResolvers<{ stream: Duplex; via: string | undefined }>()
  to.mesh.onStream((stream, _peer, via) => arrived.resolve({ stream, via }))
  const near = await from.mesh.openRelayed(to.mesh.peer)
  const far = await arrived.promise
  for (const { stream } of [near, far]) stream.on('error', () => {})
  return { near, far }
}

async function textOf(stream: Duplex): Promise<string> {
  let text = ''
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) text += chunk
  return text
}

test('two hosts that know only a third talk through it, and both learn its name', async t => {
  const { a, b, middle } = await startThree(t)
  const { near, far } = await relayed(a, b)
  assert.deepEqual([near.via, far.via], ['middle', 'middle'])
  near.stream.end('question')
  assert.equal(await textOf(far.stream), 'question')
  far.stream.end('answer')
  assert.equal(await textOf(near.stream), 'answer')
  await until(() => middle.lines.some(({ message }) => message === 'relaying ended'))
  const line = middle.lines.find(({ message }) => message === 'relaying ended')
  assert.deepEqual(line?.fields, { source: 'alpha', destination: 'beta', bytesOut: 8, bytesIn: 6 })
})

test('the wanted host can end its side first and is still written to', async t => {
  const { a, b } = await startThree(t)
  const { near, far } = await relayed(a, b)
  far.stream.end('greeting')
  assert.equal(await textOf(near.stream), 'greeting')
  near.stream.end('late words')
  assert.equal(await textOf(far.stream), 'late words')
})

test('40 MB each way at once arrive whole through a relay', async t => {
  const { a, b } = await startThree(t)
  const { near, far } = await relayed(a, b)
  const sent = randomBytes(MB)
  const source = function* (): Generator<Buffer> {
    for (let i = 0; i < 40; i += 1) yield sent
  }
  const expected = createHash('sha256')
  for (const chunk of source()) expected.update(chunk)
  const digest = expected.digest('hex')
  const receive = async (stream: Duplex): Promise<string> => {
    const hash = createHash('sha256')
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) hash.update(chunk)
    return hash.digest('hex')
  }
  const [there, back] = await Promise.all([
    receive(far.stream),
    receive(near.stream),
    pipeline(source(), near.stream, { end: true }),
    pipeline(source(), far.stream, { end: true })
  ])
  assert.deepEqual([there, back], [digest, digest])
})

test('a reader that stalls stops the writer at the far end of a relay', async t => {
  const { a, b } = await startThree(t)
  const { near, far } = await relayed(a, b)
  far.stream.pause()
  const chunk = Buffer.alloc(64 * 1024)
  let accepted = 0
  let pending = false
  let stalledSince = performance.now()
  // Over once nothing was taken for a while.
  await until(() => {
    if (!pending) {
      pending = true
      near.stream.write(chunk, () => {
        accepted += chunk.length
        pending = false
        stalledSince = performance.now()
      })
    }
    assert.ok(accepted < 32 * MB, 'the writer was never stopped')
    return performance.now() - stalledSince > 500
  })
  t.diagnostic(`${(accepted / MB).toFixed(1)} MB are on the way to a reader that stalls`)
  near.stream.destroy()
})

test('an end that breaks off, or a relay that goes, is ECONNRESET and never a clean end', async t => {
  const { a, b, middle } = await startThree(t)
  const first = await relayed(a, b)
  first.near.stream.write('half of a')
  await once(first.far.stream, 'data')
  const broken = failureOf(first.far.stream)
  first.near.stream.destroy()
  assert.equal((await broken).code, 'ECONNRESET')

  const second = await relayed(b, a)
  second.near.stream.write('half of a')
  await once(second.far.stream, 'data')
  second.near.stream.resume()
  const cut = Promise.all([failureOf(second.near.stream), failureOf(second.far.stream)])
  await middle.mesh.stop()
  for (const { code } of await cut) assert.equal(code, 'ECONNRESET')
})

test('a relay that does not reach the wanted host says so, and one that is alone finds none', async t => {
  const { a, b } = await startThree(t)
  const stranger = await startHost(t, 'stranger')
  await assert.rejects(a.mesh.openRelayed(stranger.mesh.peer), {
    code: 'DESTINATION_UNREACHABLE',
    message: /middle does not reach it either/
  })
  await assert.rejects(stranger.mesh.openRelayed(b.mesh.peer), {
    code: 'DESTINATION_UNREACHABLE',
    message: /no other member is connected/
  })
})

test('nobody has more than 64 streams relayed at once, which is logged, and each that ends makes room', async t => {
  const { a, b, middle } = await startThree(t)
  b.mesh.onStream(stream => {
    stream.on('error', () => {})
    stream.pipe(stream)
  })
  const open: Duplex[] = []
  for (let i = 0; i < MAX_RELAYED_PER_PEER; i += 1) open.push((await a.mesh.openRelayed(b.mesh.peer)).stream)
  await assert.rejects(a.mesh.openRelayed(b.mesh.peer), {
    code: 'DESTINATION_UNREACHABLE',
    message: /middle cannot relay more streams now/
  })
  assert.deepEqual([...new Set(middle.hits)], ['mesh_relayed_per_peer'])
  const warned = middle.lines.filter(({ message }) => message === 'limit reached')
  assert.equal(warned.length, 1)
  assert.equal(warned[0]?.fields.machine, 'alpha')
  const [first] = open
  first?.end()
  await textOf(first!)
  await until(() => middle.lines.some(({ message }) => message === 'relaying ended'))
  const again = await a.mesh.openRelayed(b.mesh.peer)
  again.stream.end('x')
  assert.equal(await textOf(again.stream), 'x')
  for (const stream of open) stream.destroy()
})

test('nobody is relayed to itself or to the relay', async t => {
  const { a, middle } = await startThree(t)
  for (const wanted of [a.mesh.peer, middle.mesh.peer]) {
    await assert.rejects(a.mesh.openRelayed(wanted), { code: 'DESTINATION_UNREACHABLE' })
  }
})

test('when the member that relayed is gone, the next stream goes through another', async t => {
  const { a, b, middle } = await startThree(t)
  const other = await startHost(t, 'other')
  other.mesh.addHints([...a.mesh.addresses(), ...b.mesh.addresses()])
  await Promise.all([connection(a, other), connection(b, other)])
  const { near } = await relayed(a, b)
  const [first, second] = near.via === 'middle' ? [middle, other] : [other, middle]
  await first.mesh.stop()
  const again = await relayed(a, b)
  assert.equal(again.near.via, second.machine)
  again.near.stream.end('x')
  assert.equal(await textOf(again.far.stream), 'x')
})

test('a host that the relay forgets is relayed no more, and what was relayed for it is cut', async t => {
  const { a, b, middle } = await startThree(t)
  const { near, far } = await relayed(a, b)
  near.stream.write('half of a')
  await once(far.stream, 'data')
  near.stream.resume()
  const cut = Promise.all([failureOf(near.stream), failureOf(far.stream)])
  await middle.mesh.forget(a.mesh.peer)
  for (const { code } of await cut) assert.equal(code, 'ECONNRESET')
})
