import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { MAX_DATAGRAM_BYTES } from '../../src/wire/index.ts'
import { Framed } from './support/datagrams.ts'
import { Accepted, endOf } from './support/sockets.ts'
import { type Host, type HostOptions, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
const code = (expected: string) => ({ name: 'WarrenError', code: expected })

/** A UDP server on this machine that answers each datagram with the sender's port and what it got. */
async function udpEcho(world: World): Promise<{ port: number; socket: UdpSocket; ports: Set<number> }> {
  const socket = createSocket('udp4')
  const ports = new Set<number>()
  socket.on('message', (payload, { port, address }) => {
    ports.add(port)
    socket.send(payload, port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  let open = true
  socket.once('close', () => {
    open = false
  })
  world.defer(() => {
    if (open) socket.close()
  })
  return { port: socket.address().port, socket, ports }
}

interface CarrierPath {
  readonly world: World
  readonly near: Host
  readonly far: Host
  readonly source: ReturnType<Host['register']>
}

async function hosts(way: 'direct' | 'mesh' | 'local' | 'packets', options: HostOptions = {}): Promise<CarrierPath> {
  const world = await World.create()
  const all = { oversize: 'capsule', ...options, carrier: way === 'mesh' ? 'mesh' : 'direct' } as const
  const near = await world.host('alpha', all)
  const far = way === 'local' ? near : await world.host('beta', all)
  return { world, near, far, source: near.register('dev.test.client.default') }
}

async function pair({ near, far, source }: CarrierPath): Promise<() => Promise<{ client: Framed; server: Framed }>> {
  const accepted = new Accepted()
  await far.serve(NAME, accepted.push, { protocol: 'udp' })
  const { path } = await near.connect(source, NAME, false, 'udp')
  return async () => {
    const client = await Framed.dial(path)
    return { client, server: new Framed(await accepted.next()) }
  }
}

for (const way of ['direct', 'mesh', 'local', 'packets'] as const) {
  describe(`datagrams, ${way}`, () => {
    let all: CarrierPath
    let open: () => Promise<{ client: Framed; server: Framed }>
    before(async () => {
      all = await hosts(way)
      const openOne = await pair(all)
      open = async () => {
        const ends = await openOne()
        const flows = () => [all.near, all.far].flatMap(host => host.proxy.flows())
        // All of them have been looking for the path since they were opened.
        while (way === 'packets' && !flows().every(({ carrier }) => carrier === 'udp')) await pause(5)
        return ends
      }
    })
    after(() => all.world[Symbol.asyncDispose]())

    it('keep their boundaries, of every size from none to the largest', async () => {
      const { client, server } = await open()
      for (const size of [0, 1, 62, 63, 64, 1_200, 1_400, 9_000, 16_381, 16_384, 65_000, MAX_DATAGRAM_BYTES]) {
        const sent = randomBytes(size)
        client.send(sent)
        assert.ok((await server.next()).equals(sent), `${size} bytes up`)
        server.send(sent)
        assert.ok((await client.next()).equals(sent), `${size} bytes down`)
      }
      client.socket.destroy()
    })

    it('arrive each by itself when many are sent at once', async () => {
      const { client, server } = await open()
      client.socket.cork()
      for (let index = 0; index < 50; index += 1) client.send(`datagram ${index}`)
      client.socket.uncork()
      for (let index = 0; index < 50; index += 1) assert.equal(await server.text(), `datagram ${index}`)
      client.socket.destroy()
    })

    it('are dropped and counted when they are too large, and the log says so once', async () => {
      const { client, server } = await open()
      const tooLarge = Buffer.alloc(2 + 65_535)
      tooLarge.writeUInt16BE(65_535, 0)
      client.socket.write(Buffer.concat([tooLarge, tooLarge]))
      client.send('after')
      assert.equal(await server.text(), 'after')
      const flow = all.near.proxy.flows().find(one => one.dropped > 0)
      assert.equal(flow?.dropped, 2)
      assert.equal(flow?.datagramsOut, 1)
      const lines = all.near.lines.filter(({ fields }) => fields.limitName === 'proxy_datagram_bytes')
      assert.equal(lines.length, 1)
      assert.equal(lines[0]?.fields.limit, MAX_DATAGRAM_BYTES)
      client.socket.destroy()
    })

    it('are dropped and not queued while the receiver does not read, and flow again once it does', async () => {
      const { client, server } = await open()
      server.socket.pause()
      const payload = randomBytes(8_000)
      const flowOf = () => all.near.proxy.flows().find(one => one.dropped > 0)
      const dropped = () =>
        all.far.proxy
          .flows()
          .concat(all.near.proxy.flows())
          .some(one => one.dropped > 100)
      while (!dropped()) {
        if (!client.socket.write(Buffer.concat([Buffer.of(0x1f, 0x40), payload]))) await once(client.socket, 'drain')
        await new Promise(resolve => setImmediate(resolve))
      }
      server.socket.resume()
      await client.sendUntilHeard(server, 'again')
      assert.ok(server.received > 0)
      assert.ok(flowOf() === undefined || Number(flowOf()?.datagramsOut) > 0)
      client.socket.destroy()
    })

    it('still get their answer after the client has ended its side', async () => {
      const { client, server } = await open()
      client.send('question')
      client.socket.end()
      assert.equal(await server.text(), 'question')
      server.send('answer')
      assert.equal(await client.text(), 'answer')
      server.socket.end()
      await client.ended()
    })

    it('end cleanly on the other side when one closes', async () => {
      const { client, server } = await open()
      client.send('x')
      await server.next()
      client.socket.destroy()
      assert.equal((await endOf(server.socket)).end, 'clean')
      server.socket.destroy()
    })

    it('reach an unmodified server from a port for each client, and the answers the right client', async () => {
      const { world, near, far, source } = all
      const echo = await udpEcho(world)
      far.register('dev.test.echo.default', { kind: 'udp', host: '127.0.0.1', port: echo.port, server: undefined })
      const { path } = await near.connect(source, 'dev.test.echo.default', false, 'udp')
      const clients = await Promise.all(Array.from({ length: 20 }, () => Framed.dial(path)))
      await Promise.all(
        clients.map(async (client, index) => {
          for (let round = 0; round < 10; round += 1) {
            client.send(`client ${index} round ${round}`)
            assert.equal(await client.text(), `client ${index} round ${round}`)
          }
        })
      )
      assert.equal(echo.ports.size, 20)
      for (const client of clients) client.socket.destroy()
    })

    it('survive a server that is away for a while', async () => {
      const { world, near, far, source } = all
      const first = await udpEcho(world)
      const { port } = first
      far.register('dev.test.away.default', { kind: 'udp', host: '127.0.0.1', port, server: undefined })
      const { path } = await near.connect(source, 'dev.test.away.default', false, 'udp')
      const client = await Framed.dial(path)
      client.send('one')
      assert.equal(await client.text(), 'one')
      await new Promise<void>(resolve => first.socket.close(() => resolve()))
      for (let index = 0; index < 5; index += 1) client.send('lost')
      const back = createSocket('udp4')
      back.on('message', (payload, from) => back.send(payload, from.port, from.address))
      back.bind(port, '127.0.0.1')
      await once(back, 'listening')
      await client.sendUntilHeard(client, 'two')
      back.close()
      client.socket.destroy()
    })
  })
}

describe('a flow of datagrams', () => {
  for (const way of ['direct', 'local'] as const) {
    it(`ends when no datagram passes for long (${way})`, async () => {
      const all = await hosts(way, { udpIdleMs: 1_500 })
      await using _ = all.world
      const { client, server } = await (await pair(all))()
      // Whether it arrives is not waited for: on a machine that stands still for a while the flow is over before.
      client.send('x')
      await Promise.all([client.ended(), server.ended()])
      await all.near.flowEnd(/idle|^ended/)
    })
  }

  it('is cut at both ends when the policy forbids it, while one of TCP goes on', async () => {
    const all = await hosts('direct')
    await using _ = all.world
    const { client, server } = await (await pair(all))()
    client.send('x')
    await server.next()
    all.world.allows = (_source, _destination, machine) => machine !== 'beta'
    all.far.proxy.reevaluate('policy version 2')
    const ends = await Promise.all([endOf(client.socket), endOf(server.socket)])
    assert.deepEqual(
      ends.map(({ end }) => end),
      ['cut', 'cut']
    )
    await all.far.flowEnd(/no longer allowed: no rule/)
    await all.near.flowEnd(/cut by the other agent: no longer allowed/)
  })

  it('is cut when either registration ends', async () => {
    for (const which of ['source', 'destination'] as const) {
      const all = await hosts('direct')
      await using _ = all.world
      const accepted = new Accepted()
      const served = await all.far.serve(NAME, accepted.push, { protocol: 'udp' })
      const client = await Framed.dial((await all.near.connect(all.source, NAME, false, 'udp')).path)
      const server = new Framed(await accepted.next())
      client.send('x')
      await server.next()
      if (which === 'source') all.near.deregister(all.source.id)
      else all.far.deregister(served.id)
      await Promise.all([client.ended(), server.ended()])
      assert.deepEqual(all.near.proxy.flows(), [])
      assert.deepEqual(all.far.proxy.flows(), [])
    }
  })

  it('is cut by the host that no longer knows its other end, whose lease is over', async () => {
    for (const which of ['source', 'destination'] as const) {
      const all = await hosts('direct')
      await using _ = all.world
      const accepted = new Accepted()
      const served = await all.far.serve(NAME, accepted.push, { protocol: 'udp' })
      const client = await Framed.dial((await all.near.connect(all.source, NAME, false, 'udp')).path)
      const server = new Framed(await accepted.next())
      client.send('x')
      await server.next()
      const [ended, verifier] = which === 'source' ? [all.source, all.far] : [served, all.near]
      ended.announced = false
      verifier.proxy.reevaluate('registry: lease')
      await Promise.all([client.ended(), server.ended()])
      await verifier.flowEnd(/gone: it is no longer registered/)
    }
  })

  it('cannot reach what serves only TCP, nor one of TCP what serves only UDP', async () => {
    const all = await hosts('direct')
    await using _ = all.world
    await all.far.serve(NAME, () => {})
    await all.far.serve('dev.test.other.default', () => {}, { protocol: 'udp' })
    await assert.rejects(all.near.connect(all.source, NAME, false, 'udp'), code('DESTINATION_NOT_FOUND'))
    await assert.rejects(all.near.connect(all.source, 'dev.test.other.default'), code('DESTINATION_NOT_FOUND'))
  })

  it('is one of a workload’s flows, of which it has so many', async () => {
    const all = await hosts('direct', { limits: { flowsPerWorkload: 2 } })
    await using _ = all.world
    const open = await pair(all)
    const pooled = [await open(), await open()]
    await assert.rejects(all.near.connect(all.source, NAME, false, 'udp'), code('LIMIT_EXCEEDED'))
    for (const { client } of pooled) client.socket.destroy()
  })

  it('carries so many datagrams a second and drops the rest, and the log says so once', async () => {
    const all = await hosts('direct', { limits: { datagramsPerSecond: 50 } })
    await using _ = all.world
    const { client, server } = await (await pair(all))()
    for (let index = 0; index < 200; index += 1) client.send(`${index}`)
    await all.near.line(({ message }) => message === 'limit reached')
    await server.next()
    const lines = all.near.lines.filter(({ message }) => message === 'limit reached')
    assert.equal(lines.length, 1)
    assert.equal(lines[0]?.fields.limitName, 'proxy_datagrams_per_second')
    const { dropped = 0 } = all.near.proxy.flows()[0] ?? {}
    assert.ok(dropped > 0, `${dropped} dropped`)
    assert.equal(all.near.hits.length, dropped)
    assert.equal(all.near.proxy.totals().flows.drops.rate, dropped)
    client.socket.destroy()
  })

  it('fails when its client ends inside a datagram', async () => {
    const all = await hosts('direct')
    await using _ = all.world
    const { client, server } = await (await pair(all))()
    client.socket.end(Buffer.of(0, 9, 1, 2))
    assert.equal((await endOf(server.socket)).end, 'cut')
    await all.near.flowEnd(/inside a datagram/)
  })
})
