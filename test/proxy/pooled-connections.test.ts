import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { type Clock, systemClock } from '../../src/core/index.ts'
import { decode, proxyPb, readFrame } from '../../src/wire/index.ts'
import { settled } from '../harness/index.ts'
import { type Meddle, meddle, pass } from './support/meddler.ts'
import { KEPT_AT_ONCE, type Pair, untilConnectionIsPooled } from './support/pooled.ts'
import { Accepted, dial, endOf, hashAll, readAll, readBytes, say, writeMany } from './support/sockets.ts'
import { type Host, type HostOptions, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const MEGABYTE = 1024 * 1024

/** With somebody between the agents who knows the fast-path connections, unless they are to be `direct`. */
async function hosts(
  options: HostOptions = KEPT_AT_ONCE,
  between: Meddle | 'direct' = pass,
  farOptions: HostOptions = {}
) {
  const world = await World.create()
  const near = await world.host('alpha', options)
  const far = await world.host('beta', farOptions)
  const connections = new Set<Socket>()
  const made = new WeakSet<Socket>()
  let connectionsMade = 0
  const count: Meddle = (piece, way, connection) => {
    if (!made.has(connection.near)) {
      made.add(connection.near)
      connectionsMade += 1
      connections.add(connection.near)
      connection.near.once('close', () => connections.delete(connection.near))
    }
    if (between !== 'direct') between(piece, way, connection)
  }
  if (between !== 'direct') far.dataAddresses = [await meddle(world, far.dataAddresses[0] ?? '', count)]
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  const served = await far.serve(NAME, accepted.push)
  const { path } = await near.connect(source, NAME)
  const open = async (): Promise<Pair> => {
    const client = await dial(path)
    return { client, server: await accepted.next() }
  }
  return { world, near, far, source, served, path, accepted, connections, connectionsMade: () => connectionsMade, open }
}

/** Uses a flow and resolves with its carrier. */
async function begun({ client, server }: Pair, near: Host): Promise<string> {
  client.write('x')
  await readBytes(server, 1)
  server.write('y')
  await readBytes(client, 1)
  return near.proxy.flows().at(-1)?.carrier ?? ''
}

/** The code with which the agent refuses a connection to `path`, where it says so. */
async function refusal(path: string): Promise<string | undefined> {
  const frame = await readFrame(await dial(path), 16_384, AbortSignal.timeout(10_000))
  return decode(proxyPb.FlowHelloSchema, frame, 16_384).error?.code
}

async function ended({ client, server }: Pair): Promise<void> {
  client.end('the end')
  assert.equal((await readAll(server)).toString(), 'the end')
  server.end('of all')
  assert.equal((await readAll(client)).toString(), 'of all')
}

describe('a pooled fast-path connection', () => {
  it('carries one flow after another, each with all its bytes', async () => {
    const { world, near, far, open, connections } = await hosts()
    await using _ = world
    await untilConnectionIsPooled(near, open)
    const before = connections.size
    for (let round = 0; round < 50; round += 1) {
      const pair = await open()
      assert.equal(await begun(pair, near), 'fastpath')
      await ended(pair)
    }
    await far.flowEnd(/^ended$/)
    assert.equal(connections.size, before)
    assert.deepEqual([near.hits, far.hits], [[], []])
  })

  it('is not made for a session with few flows', async () => {
    const { world, near, open, connections } = await hosts({})
    await using _ = world
    for (let round = 0; round < 10; round += 1) {
      const pair = await open()
      assert.equal(await begun(pair, near), 'direct')
      await ended(pair)
    }
    assert.equal(connections.size, 0)
  })

  it('carries all of a server that speaks first and ends at once', async () => {
    const { world, near, path, accepted, open } = await hosts()
    await using _ = world
    await untilConnectionIsPooled(near, open)
    for (let round = 0; round < 100; round += 1) {
      const sent = randomBytes(1 + round * 997)
      const client = await dial(path)
      const server = await accepted.next()
      server.end(sent)
      assert.ok((await readAll(client)).equals(sent))
      client.end()
      await readAll(server)
    }
  })

  it('carries a flow of many bytes as a fast-path connection of its own would', async () => {
    const { world, near, open } = await hosts()
    await using _ = world
    await untilConnectionIsPooled(near, open)
    for (let round = 0; round < 3; round += 1) {
      const pair = await open()
      assert.equal(await begun(pair, near), 'fastpath')
      const { client, server } = pair
      const hashes = await Promise.all([
        writeMany(client, 24 * MEGABYTE, 1),
        hashAll(server),
        writeMany(server, 24 * MEGABYTE, 2),
        hashAll(client)
      ])
      assert.deepEqual(hashes[1], { hash: hashes[0], bytes: 24 * MEGABYTE })
      assert.deepEqual(hashes[3], { hash: hashes[2], bytes: 24 * MEGABYTE })
    }
  })

  it('says why a flow is refused, and carries the next one', async () => {
    const { world, near, source, open, connections, served } = await hosts()
    await using _ = world
    const { path } = await near.connect(source, NAME, true)
    await untilConnectionIsPooled(near, open)
    const before = connections.size
    world.allows = (_source, _destination, machine) => machine !== 'beta'
    assert.equal(await refusal(path), 'UNAUTHORIZED')
    world.allows = () => true
    served.server.close()
    await once(served.server, 'close')
    assert.equal(await refusal(path), 'DESTINATION_UNREACHABLE')
    served.server.listen(served.path)
    await once(served.server, 'listening')
    const pair = await open()
    assert.equal(await begun(pair, near), 'fastpath')
    await ended(pair)
    assert.equal(connections.size, before)
  })

  it('on which flows are refused does no harm to those that follow at once', async () => {
    const { world, near, open, path, served } = await hosts(KEPT_AT_ONCE, 'direct')
    await using _ = world
    await untilConnectionIsPooled(near, open)
    served.server.removeAllListeners('connection').on('connection', (socket: Socket) => socket.resume().end('y'))
    let asked = 0
    world.allows = (_source, _destination, machine) => {
      if (machine !== 'beta') return true
      asked += 1
      return asked % 2 === 0
    }
    const ends = await Promise.all(
      Array.from({ length: 60 }, async () => {
        const client = await dial(path)
        client.end('x')
        return (await readAll(client).catch(() => undefined))?.length
      })
    )
    assert.equal(ends.length, 60)
    const reasons = near.lines.filter(({ message }) => message === 'flow ended').map(({ fields }) => fields.reason)
    assert.deepEqual(
      reasons.filter(reason => reason !== 'ended' && !/no rule/.test(reason ?? '')),
      []
    )
  })

  for (const stalled of ['client', 'server'] as const) {
    it(`that a ${stalled} has stalled is cut at once when the policy says so, and both ends know why`, async () => {
      const { world, near, far, open } = await hosts(KEPT_AT_ONCE, 'direct')
      await using _ = world
      await untilConnectionIsPooled(near, open)
      const pair = await open()
      assert.equal(await begun(pair, near), 'fastpath')
      const [reader, writer] = stalled === 'client' ? [pair.client, pair.server] : [pair.server, pair.client]
      const endOfWriter = endOf(writer)
      // Until all that is in between is full.
      const chunk = randomBytes(256 * 1024)
      while (writer.writableLength < 2 * MEGABYTE) {
        writer.write(chunk)
        await new Promise(resolve => setImmediate(resolve))
      }
      const verifier = stalled === 'client' ? far : near
      world.allows = (_source, _destination, machine) => machine !== verifier.machine
      verifier.proxy.reevaluate('policy version 2')
      await settled(
        Promise.all([near.flowEnd(/no longer allowed/), far.flowEnd(/no longer allowed/)]),
        'both ends to know why',
        5_000
      )
      assert.equal((await endOfWriter).end, 'cut')
      assert.equal((await endOf(reader)).end, 'cut')
    })
  }

  it('that is lost while no flow is on it is no loss to the next one', async () => {
    const { world, near, open, connections } = await hosts()
    await using _ = world
    for (let round = 0; round < 5; round += 1) {
      await untilConnectionIsPooled(near, open)
      // The other end closes, and this one is about to open a flow: it may or may not know yet.
      for (const connection of connections) connection.destroy()
      const pair = await open()
      await begun(pair, near)
      await ended(pair)
    }
  })

  it('is closed when it has had no flow for long', async () => {
    let aheadMs = 0
    const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs }
    const { world, near, open, connections } = await hosts({ ...KEPT_AT_ONCE, clock })
    await using _ = world
    await untilConnectionIsPooled(near, open)
    const closed = [...connections].map(connection => once(connection, 'close'))
    assert.ok(closed.length > 0)
    aheadMs = 20_000
    await settled(Promise.all(closed), 'the fast-path connections to be closed', 15_000)
    const pair = await open()
    await begun(pair, near)
    await ended(pair)
  })

  it('does not keep a session from ending whose certificate was renewed', async () => {
    const { world, near, far, source, open, connections } = await hosts()
    await using _ = world
    await untilConnectionIsPooled(near, open)
    const former = [...connections]
    const live = await open()
    assert.equal(await begun(live, near), 'fastpath')
    near.renew(source.id)
    await untilConnectionIsPooled(near, open)
    assert.equal(near.proxy.sessions(), 2)
    const closed = former.map(connection => (connection.destroyed ? undefined : once(connection, 'close')))
    await ended(live)
    await Promise.all(closed)
    await settled(
      (async () => {
        while (near.proxy.sessions() + far.proxy.sessions() > 2) await new Promise(resolve => setImmediate(resolve))
      })(),
      'the session to end',
      5_000
    )
  })

  for (const [what, limits, farLimits] of [
    ['this agent', { fastPathConnections: 2 }, {}],
    ['the other agent', {}, { fastPathConnections: 2 }]
  ] as const) {
    it(`has its place among the fast-path connections of ${what}; flows without one are on their session`, async () => {
      const { world, near, open, connections, connectionsMade } = await hosts({ ...KEPT_AT_ONCE, limits }, pass, {
        limits: farLimits
      })
      await using _ = world
      const pairs: Pair[] = []
      for (let round = 0; round < 8; round += 1) {
        const pair = await open()
        await begun(pair, near)
        pairs.push(pair)
      }
      assert.ok(near.proxy.flows().filter(({ carrier }) => carrier === 'fastpath').length <= 1)
      for (const pair of pairs) await ended(pair)
      assert.ok(connections.size <= 1)
      // Who was refused one does not ask again for each flow.
      assert.ok(connectionsMade() <= 2)
    })
  }

  for (const direction of ['up', 'down'] as const) {
    it(`that somebody between the agents harms cuts the flow on it, and lets nothing false through (${direction})`, async () => {
      let harming = false
      const { world, near, far, open } = await hosts(KEPT_AT_ONCE, (piece, way, connection) => {
        const other = Buffer.from(piece)
        if (harming && way === direction) other[other.length >> 1] = (other[other.length >> 1] ?? 0) ^ 1
        pass(other, way, connection)
      })
      await using _ = world
      await untilConnectionIsPooled(near, open)
      const pair = await open()
      assert.equal(await begun(pair, near), 'fastpath')
      harming = true
      const [from, to] = direction === 'up' ? [pair.client, pair.server] : [pair.server, pair.client]
      from.write('what was sent')
      const ends = await Promise.all([endOf(from), endOf(to)])
      assert.deepEqual(
        ends.map(({ bytes, end }) => [bytes, end]),
        [
          [0, 'cut'],
          [0, 'cut']
        ]
      )
      harming = false
      await Promise.all([near.flowEnd(/link|reset/), far.flowEnd(/link|reset/)])
      await ended(await open())
    })
  }

  it('that is repeated from a capture opens nothing and gets no answer, while it lives and after', async () => {
    const captured = new Map<Socket, Buffer[]>()
    const { world, near, far, open, accepted, connections } = await hosts(KEPT_AT_ONCE, (piece, way, connection) => {
      if (way === 'up') captured.set(connection.near, [...(captured.get(connection.near) ?? []), Buffer.from(piece)])
      pass(piece, way, connection)
    })
    await using _ = world
    const { host, port } = far.proxy.dataAddress()
    await untilConnectionIsPooled(near, open)
    const pair = await open()
    assert.equal(await begun(pair, near), 'fastpath')
    await ended(pair)
    const all = [...captured.values()].map(pieces => Buffer.concat(pieces))
    for (const bytes of all) await say(`${host}:${port}`, bytes)
    for (const connection of connections) connection.destroy()
    await untilConnectionIsPooled(near, open)
    for (const bytes of all) await say(`${host}:${port}`, bytes)
    let hasCome = false
    void accepted.next().then(() => {
      hasCome = true
    })
    await new Promise(resolve => setImmediate(resolve))
    assert.ok(!hasCome)
  })
})
