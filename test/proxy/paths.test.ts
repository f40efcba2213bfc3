import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { waitFor } from '../harness/wait-for.ts'
import { DEAD, relayBy, unreachable } from './support/carriers.ts'
import { proxyTo } from './support/proxy.ts'
import { Accepted, dial, endOf, readBytes } from './support/sockets.ts'
import { type Host, World } from './support/world.ts'

const PIECE_BYTES = 16 * 1024
const NAME = 'dev.test.server.default'

/** Two hosts, an echo on the far one, and a way to open flows to it. */
async function pair(world: World, { svidLifetimeMs = 3_600_000 } = {}) {
  const near = await world.host('alpha', { carrier: 'auto' })
  near.svidLifetimeMs = svidLifetimeMs
  const far = await world.host('beta', { carrier: 'auto' })
  const stream = near.openStream
  relayBy(near, far, 'gamma', stream)
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  await far.serve(NAME, socket => {
    accepted.push(socket)
    socket.pipe(socket)
  })
  const open = async () => {
    const { path } = await near.connect(source, NAME)
    const client = await dial(path)
    client.write('x')
    await readBytes(client, 1)
    return client
  }
  return { near, far, source, open, stream }
}

function newest({ proxy }: Host): string | undefined {
  return proxy.flows().at(-1)?.carrier
}

describe('the way to another host', () => {
  it('is a relay when neither its data port nor the mesh reaches it, and both ends name the machine', async () => {
    await using world = await World.create()
    const { near, far, open } = await pair(world)
    far.dataAddresses = DEAD
    near.openStream = unreachable
    await open()
    assert.equal(newest(near), 'relay via gamma')
    assert.equal(newest(far), 'relay via gamma')
  })

  it('is the better one as soon as that answers, and what was open stays where it is', async () => {
    await using world = await World.create()
    const { near, far, open, stream } = await pair(world)
    const [good] = [far.dataAddresses]
    far.dataAddresses = DEAD
    near.openStream = unreachable
    const first = await open()

    near.openStream = stream
    near.proxy.pathAppeared('beta')
    while (newest(near) !== 'mesh') await open()
    far.dataAddresses = good
    near.proxy.pathAppeared('beta')
    while (newest(near) !== 'direct') await open()

    first.write('y')
    assert.equal((await readBytes(first, 1)).toString(), 'y')
    assert.equal(near.proxy.flows()[0]?.carrier, 'relay via gamma')
  })

  it('is the better one also for an open flow that carries much, without a byte lost, and for both ends', async () => {
    await using world = await World.create()
    const { near, far, open } = await pair(world)
    const [good] = [far.dataAddresses]
    far.dataAddresses = DEAD
    near.openStream = unreachable
    const client = await open()
    assert.equal(newest(near), 'relay via gamma')
    far.dataAddresses = good
    near.proxy.pathAppeared('beta')
    const sent = randomBytes(4 * 1024 * 1024)
    const received = readBytes(client, sent.length)
    for (let at = 0; at < sent.length; at += PIECE_BYTES) client.write(sent.subarray(at, at + PIECE_BYTES))
    assert.ok((await received).equals(sent))
    // The end of a move is seen with the next bytes.
    await waitFor(async () => {
      client.write('y')
      await readBytes(client, 1)
      return [near, far].every(host => newest(host) === 'fastpath')
    }, 'both ends to move')
    world.allows = () => false
    far.proxy.reevaluate('the test denies it')
    assert.equal((await endOf(client)).end, 'cut')
    assert.deepEqual(near.proxy.flows(), [])
  })

  it('leaves a session that is silent for the next way, before its flows are given up', async () => {
    await using world = await World.create()
    const { near, far, open } = await pair(world)
    const proxy = await proxyTo(world, far.dataAddresses[0] ?? '')
    far.dataAddresses = [proxy.address]
    await open()
    assert.equal(newest(near), 'direct')
    proxy.blackHole()
    await open()
    assert.equal(newest(near), 'mesh')
  })

  it('that answers late is not waited for alone', async () => {
    await using world = await World.create()
    const { near, far, open } = await pair(world)
    const proxy = await proxyTo(world, far.dataAddresses[0] ?? '')
    far.dataAddresses = [proxy.address]
    proxy.blackHole()
    near.openStream = () => new Promise(() => {})
    await open()
    assert.equal(newest(near), 'relay via gamma')
  })

  it('is taken by connections while a session with a renewed certificate is opened, until that is there', async () => {
    await using world = await World.create()
    const { near, far, source, open } = await pair(world)
    far.dataAddresses = DEAD
    near.openStream = unreachable
    await open()
    const relay = near.openRelayed
    const { promise: held, resolve: release } = Promise.withResolvers<void>()
    let opened = 0
    near.openRelayed = async peer => {
      opened += 1
      await held
      return await relay(peer)
    }
    near.renew(source.id)
    // Each would wait for ever for the session that is being opened.
    for (let at = 0; at < 3; at += 1) await open()
    assert.equal(opened, 1)
    assert.equal(near.proxy.sessions(), 1)
    release()
    await waitFor(() => near.proxy.sessions() === 2, 'the other session')
    await open()
    assert.equal(opened, 1)
    assert.equal(newest(near), 'relay via gamma')
  })

  it('is not kept by a session whose certificate ends soon', async () => {
    await using world = await World.create()
    const { near, far, source, open } = await pair(world, { svidLifetimeMs: 9_000 })
    far.dataAddresses = DEAD
    near.openStream = unreachable
    await open()
    near.renew(source.id)
    await open()
    assert.equal(near.proxy.sessions(), 2)
  })

  it('that failed is named with all the others when none is left', async () => {
    await using world = await World.create()
    const { near, far, open } = await pair(world)
    far.dataAddresses = DEAD
    near.openStream = unreachable
    near.openRelayed = () => Promise.reject(new WarrenError(ErrorCode.DestinationUnreachable, 'gamma relays no more'))
    await assert.rejects(open(), {
      code: 'DESTINATION_UNREACHABLE',
      message: /direct: .*; mesh: no way; relay: gamma relays no more/
    })
  })
})

describe('a relay', () => {
  it('sees neither what is said nor who says it', async () => {
    await using world = await World.create()
    const { near, far, open } = await pair(world)
    far.dataAddresses = DEAD
    near.openStream = unreachable
    const inner = near.openRelayed
    const seen: Buffer[] = []
    near.openRelayed = async peer => {
      const relayed = await inner(peer)
      const push = relayed.stream.push.bind(relayed.stream)
      relayed.stream.push = (chunk: Buffer | null) => {
        if (chunk !== null) seen.push(chunk)
        return push(chunk)
      }
      const write = relayed.stream._write.bind(relayed.stream)
      relayed.stream._write = (chunk: Buffer, encoding, callback) => {
        seen.push(chunk)
        write(chunk, encoding, callback)
      }
      return relayed
    }
    const client = await open()
    client.write('what is said')
    await readBytes(client, 12)
    const bytes = Buffer.concat(seen)
    assert.ok(bytes.length > 1_000, `${bytes.length} bytes were seen`)
    for (const word of ['what is said', 'dev.test', 'client', 'server', 'spiffe', 'alpha', 'beta']) {
      assert.equal(bytes.includes(word), false, word)
    }
  })
})
