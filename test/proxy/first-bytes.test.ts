import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import koffi from 'koffi'
import { MAX_FIRST_BYTES, openWith, readOpenWith } from '../../src/proxy/fastpath/format.ts'
import { settled } from '../harness/index.ts'
import { type Meddle, meddle, pass } from './support/meddler.ts'
import { KEPT_AT_ONCE, untilConnectionIsPooled } from './support/pooled.ts'
import { Accepted, dial, readAll, readBytes } from './support/sockets.ts'
import { type HostOptions, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const AF_UNIX = 1
const SOCK_STREAM = 1
const GRANTED = 'warren_first_bytes_total{result="granted"}'
const REFUSED = 'warren_first_bytes_total{result="refused"}'

/** Two hosts between which a fast-path connection waits for the next flow. */
async function hosts(between?: Meddle, nearOptions: HostOptions = {}, farOptions: HostOptions = {}) {
  const world = await World.create()
  const near = await world.host('alpha', {
    // A machine may be slow; how long is tested by itself.
    upgradeThresholds: { ...KEPT_AT_ONCE.upgradeThresholds, freshMs: 60_000 },
    ...nearOptions
  })
  const far = await world.host('beta', farOptions)
  if (between !== undefined) far.dataAddresses = [await meddle(world, far.dataAddresses[0] ?? '', between)]
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  await far.serve(NAME, accepted.push)
  const { path } = await near.connect(source, NAME)
  const open = async () => ({ client: await dial(path), server: await accepted.next() })
  await untilConnectionIsPooled(near, open)
  return { world, near, far, accepted, path }
}

const libc = koffi.load(null)
const makeSocket = libc.func('int socket(int family, int type, int protocol)')
const connectTo = libc.func('int connect(int fd, uint8_t *address, uint32_t size)')
const say = libc.func('intptr_t write(int fd, uint8_t *bytes, size_t size)')

/** Connects and says `bytes` in one turn, so that they are there when the agent accepts: Node would do the second in a later one. */
function asking(path: string, bytes: Buffer): Socket {
  const fd = Number(makeSocket(AF_UNIX, SOCK_STREAM, 0))
  const address = Buffer.concat([Buffer.from(new Uint16Array([AF_UNIX]).buffer), Buffer.from(`${path}\0`)])
  assert.equal(connectTo(fd, address, address.length), 0)
  assert.equal(Number(say(fd, bytes, bytes.length)), bytes.length)
  return new Socket({ fd, allowHalfOpen: true }).on('error', () => {})
}

/** The error that the client gets in the end, if any. */
function endOf(client: Socket): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  client.once('error', (err: NodeJS.ErrnoException) => resolve(err.code))
  client.once('end', () => resolve(undefined)).resume()
  return promise
}

describe('the first bytes of a flow', { skip: process.platform === 'linux' ? false : 'sockets of Linux' }, () => {
  it('travel with the request for it, as many as may, and each arrives once', async () => {
    const { world, near, far, accepted, path } = await hosts()
    await using _ = world
    let travelled = 0
    for (const size of [1, 65, MAX_FIRST_BYTES - 1, MAX_FIRST_BYTES, MAX_FIRST_BYTES + 1, 100_000]) {
      const sent = randomBytes(size)
      const client = asking(path, sent)
      const server = await accepted.next()
      assert.ok((await readBytes(server, size)).equals(sent))
      travelled += Math.min(size, MAX_FIRST_BYTES)
      assert.equal(far.counts.get(GRANTED), travelled)
      const answer = randomBytes(size)
      server.write(answer)
      assert.ok((await readBytes(client, size)).equals(answer))
      const [flow, there] = [near.proxy.flows().at(-1), far.proxy.flows().at(-1)]
      assert.deepEqual([flow?.carrier, flow?.bytesOut, there?.bytesOut], ['fastpath', size, size])
      server.end()
      client.end()
      await settled(once(server.resume(), 'close'), 'the end')
      await near.line(({ message, fields }) => message === 'flow ended' && fields.flowId === flow?.id)
    }
  })

  it('are read by a server that never answers, whose client hears of its end', async () => {
    const { world, accepted, path } = await hosts()
    await using _ = world
    const client = asking(path, Buffer.from('and?'))
    const server = await accepted.next()
    assert.equal((await readBytes(server, 4)).toString(), 'and?')
    // The grant has waited for an answer: what is said beyond the first bytes needs it.
    client.end('well?')
    assert.equal((await readAll(server)).toString(), 'well?')
    server.end()
    assert.equal((await readAll(client)).length, 0)
  })

  it('are seen by no workload when the flow is refused, and the next flow is served', async () => {
    const { world, far, accepted, path } = await hosts()
    await using _ = world
    world.allows = (_source, _destination, machine) => machine !== 'beta'
    const client = asking(path, Buffer.from('a secret'))
    await far.flowEnd(/no rule/)
    assert.equal(await settled(endOf(client), 'the refusal'), 'ECONNRESET')
    assert.deepEqual([far.counts.get(REFUSED), far.counts.get(GRANTED)], [8, undefined])
    world.allows = () => true
    const next = asking(path, Buffer.from('for all'))
    const server = await accepted.next()
    assert.equal((await readBytes(server, 7)).toString(), 'for all')
    next.destroy()
  })

  it('are never sent twice: where the link is lost before the answer, the flow fails', async () => {
    let isLost = false
    const { world, near, accepted, path } = await hosts((piece, way, connection) => {
      if (isLost && way === 'down') connection.near.destroy()
      else pass(piece, way, connection)
    })
    await using _ = world
    isLost = true
    const client = asking(path, Buffer.from('pay once'))
    const server = await accepted.next()
    assert.equal((await readBytes(server, 8)).toString(), 'pay once')
    server.on('error', () => {}).write('paid')
    assert.equal(await settled(endOf(client), 'the end of the flow'), 'ECONNRESET')
    await near.flowEnd(/lost/)
    isLost = false
    // What comes next is not the same again.
    const other = asking(path, Buffer.from('next'))
    assert.equal((await readBytes(await accepted.next(), 4)).toString(), 'next')
    other.destroy()
  })

  it('wait for the grant on a connection that nobody has heard of for a while', async () => {
    const stale = { upgradeThresholds: { ...KEPT_AT_ONCE.upgradeThresholds, freshMs: 0 } }
    const { world, far, accepted, path } = await hosts(undefined, stale)
    await using _ = world
    const client = asking(path, Buffer.from('later'))
    assert.equal((await readBytes(await accepted.next(), 5)).toString(), 'later')
    assert.equal(far.counts.get(GRANTED), undefined)
    client.destroy()
  })

  it('wait for the grant where flows are resumed', async () => {
    const { world, far, accepted, path } = await hosts(undefined, { resumeWindowMs: 5_000 }, { resumeWindowMs: 5_000 })
    await using _ = world
    const client = asking(path, Buffer.from('later'))
    assert.equal((await readBytes(await accepted.next(), 5)).toString(), 'later')
    assert.equal(far.counts.get(GRANTED), undefined)
    client.destroy()
  })

  it('are told from the request as they were joined with it, and anything else is no request', () => {
    const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map(array => Buffer.from(array))
    fc.assert(
      fc.property(bytes(300), bytes(300), (open, first) => {
        assert.deepEqual(readOpenWith(openWith(open, first)), { open, first })
      })
    )
    fc.assert(
      fc.property(bytes(600), content => {
        const parts = readOpenWith(content)
        if (parts !== undefined) assert.deepEqual(openWith(parts.open, parts.first), content)
      })
    )
    const [big, bigger] = [Buffer.alloc(4_096), Buffer.alloc(4_097)]
    assert.ok(readOpenWith(openWith(big, big)))
    assert.equal(readOpenWith(openWith(bigger, big)), undefined)
    assert.equal(readOpenWith(openWith(big, bigger)), undefined)
  })
})
