import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { waitFor } from '../harness/wait-for.ts'
import { Framed } from './support/datagrams.ts'
import { proxyTo } from './support/proxy.ts'
import { Accepted, endOf } from './support/sockets.ts'
import { UdpProxy } from './support/udp-proxy.ts'
import { type HostOptions, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** A flow of datagrams between two hosts, over a network that can be taken away. */
async function live(options: HostOptions = {}) {
  const world = await World.create()
  const near = await world.host('alpha', options)
  const far = await world.host('beta', options)
  const real = far.dataAddresses[0] ?? ''
  const tcp = await proxyTo(world, real)
  const udp = await UdpProxy.beside(world, tcp.address, real)
  far.dataAddresses = [tcp.address]
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  await far.serve(NAME, accepted.push, { protocol: 'udp' })
  const open = async () => {
    const { path } = await near.connect(source, NAME, false, 'udp')
    const client = await Framed.dial(path)
    client.send('hello')
    const server = new Framed(await accepted.next())
    assert.equal(await server.text(), 'hello')
    return { client, server }
  }
  const carriers = () => [near, far].map(host => host.proxy.flows()[0]?.carrier)
  const carriedBy = async (carrier: string): Promise<void> => {
    while (!carriers().every(one => one === carrier)) await pause(10)
  }
  return { world, near, far, source, tcp, udp, open, carriers, carriedBy }
}

describe('the datagram path', () => {
  it('is taken by both ends once it answers, and shows in the flows', async () => {
    const { world, udp, open, carriedBy } = await live()
    await using _ = world
    const { client, server } = await open()
    await carriedBy('udp')
    const before = udp.passed
    for (let index = 0; index < 20; index += 1) {
      client.send(`up ${index}`)
      assert.equal(await server.text(), `up ${index}`)
      server.send(`down ${index}`)
      assert.equal(await client.text(), `down ${index}`)
    }
    assert.ok(udp.passed - before >= 40)
    client.socket.destroy()
  })

  it('shows nothing of what it carries', async () => {
    const { world, udp, open, carriedBy } = await live()
    await using _ = world
    const { client, server } = await open()
    await carriedBy('udp')
    client.send('SECRET-IN-A-DATAGRAM')
    await server.next()
    assert.ok(udp.seen.length > 0)
    assert.ok(!udp.seen.some(packet => packet.includes('SECRET')))
    client.socket.destroy()
  })

  it('drops and counts what is larger than its packets, so that a sender finds its true size', async () => {
    const { world, near, udp, open, carriedBy } = await live()
    await using _ = world
    const { client, server } = await open()
    await carriedBy('udp')
    // The larger size was answered: from now on that is the path.
    await waitFor(() => udp.seen.some(packet => packet.length === 1_452), 'the larger size to be tried')
    const arrives = async (size: number): Promise<void> => {
      client.send(Buffer.alloc(size, 7))
      assert.equal((await server.next()).length, size)
    }
    for (const size of [1_200, 1_193, 1_194, 1_413]) await arrives(size)
    for (const size of [1_414, 1_500, 9_000, 60_000]) client.send(Buffer.alloc(size, 7))
    await arrives(1_000)
    assert.equal(near.proxy.totals().flows.drops.oversize, 4)
    assert.ok(near.hits.includes('proxy_datagram_path_bytes'))
    client.socket.destroy()
  })

  it('carries 1,200 bytes, which QUIC needs, and no more where only the smallest packets arrive', async () => {
    const { world, near, udp, open, carriedBy } = await live()
    await using _ = world
    udp.fate = packet => (packet.length > 1_232 ? 'drop' : 'pass')
    const { client, server } = await open()
    await carriedBy('udp')
    const tried = () => udp.seen.filter(packet => packet.length === 1_452).length
    const arrives = async (size: number): Promise<void> => {
      client.send(Buffer.alloc(size, 7))
      assert.equal((await server.next()).length, size)
    }
    // Both ends try the larger size three times while the path is used.
    await waitFor(async () => {
      await arrives(1_193)
      return tried() >= 6
    }, 'the larger size to be given up')
    await arrives(1_200)
    client.send(Buffer.alloc(1_201, 7))
    client.send(Buffer.alloc(1_413, 7))
    await arrives(1_200)
    assert.equal(near.proxy.totals().flows.drops.oversize, 2)
    client.socket.destroy()
  })

  it('leaves what does not fit to capsules, in the same flow, if that is asked for', async () => {
    const { world, near, open, carriedBy } = await live({ oversize: 'capsule' })
    await using _ = world
    const { client, server } = await open()
    await carriedBy('udp')
    for (const size of [1_193, 1_194, 1_413, 1_414, 60_000]) {
      client.send(Buffer.alloc(size, 7))
      assert.equal((await server.next()).length, size)
    }
    assert.equal(near.proxy.totals().flows.drops.oversize, 0)
    client.socket.destroy()
  })

  it('carries on while packets are lost, doubled and reordered, and delivers none twice', async () => {
    const { world, udp, open, carriedBy } = await live()
    await using _ = world
    const { client, server } = await open()
    await carriedBy('udp')
    let count = 0
    udp.fate = () => (['pass', 'late', 'twice', 'drop', 'pass'] as const)[count++ % 5] ?? 'pass'
    const got: string[] = []
    const receiving = (async () => {
      for (let text = ''; text !== 'over'; ) {
        text = await server.text()
        got.push(text)
      }
    })()
    for (let index = 0; index < 500; index += 1) {
      client.send(`${index}`)
      if (index % 20 === 19) await pause(2)
    }
    udp.fate = () => 'pass'
    await pause(50)
    client.send('over')
    await receiving
    assert.equal(new Set(got).size, got.length, 'none twice')
    assert.ok(got.length > 300 && got.length < 500, `${got.length} of 500 arrived`)
    client.socket.destroy()
  })

  it('is left for capsules when it stops answering, and taken again later', async () => {
    const { world, udp, open, carriedBy } = await live()
    await using _ = world
    const { client, server } = await open()
    await carriedBy('udp')
    udp.fate = () => 'drop'
    // Both ends find out by themselves, each while it sends.
    const talk = setInterval(() => {
      client.send('.')
      server.send('.')
    }, 20)
    await carriedBy('direct')
    clearInterval(talk)
    await client.sendUntilHeard(server, 'by capsule')
    udp.fate = () => 'pass'
    await carriedBy('udp')
    await client.sendUntilHeard(server, 'by packet')
    client.socket.destroy()
  })

  it('is not used while only one direction arrives: no answer is no path', async () => {
    const { world, udp, near, far, open } = await live()
    await using _ = world
    udp.fate = (_packet, direction) => (direction === 'down' ? 'drop' : 'pass')
    const { client, server } = await open()
    await pause(600)
    assert.equal(near.proxy.flows()[0]?.carrier, 'direct')
    assert.equal(far.proxy.flows()[0]?.carrier, 'direct')
    await client.sendUntilHeard(server, 'by capsule')
    client.socket.destroy()
  })

  it('follows a client whose address changes', async () => {
    const { world, udp, open, carriedBy } = await live()
    await using _ = world
    const { client, server } = await open()
    await carriedBy('udp')
    udp.rebind()
    await client.sendUntilHeard(server, 'from a new port')
    await server.sendUntilHeard(client, 'to the new port')
    await carriedBy('udp')
    client.socket.destroy()
  })

  it('survives hostile packets of every kind beside it', async () => {
    const { world, udp, tcp, open, carriedBy } = await live()
    await using _ = world
    const { client, server } = await open()
    await carriedBy('udp')
    const stranger = createSocket('udp4').bind(0, '127.0.0.1')
    await once(stranger, 'listening')
    const answers: Buffer[] = []
    stranger.on('message', answer => answers.push(answer))
    const port = Number(tcp.address.split(':')[1])
    for (const packet of udp.seen.slice()) {
      // Captured ones again, and with each part changed.
      stranger.send(packet, port, '127.0.0.1')
      for (const at of [0, 1, 5, 12, 17, 20, packet.length - 1]) {
        const changed = Buffer.from(packet)
        changed[at] = (changed[at] ?? 0) ^ 0x55
        stranger.send(changed, port, '127.0.0.1')
      }
    }
    await client.sendUntilHeard(server, 'still here')
    await server.sendUntilHeard(client, 'and back')
    assert.deepEqual(answers, [])
    stranger.close()
    client.socket.destroy()
  })

  it('is cut with the flow when the policy forbids it', async () => {
    const { world, far, open, carriedBy } = await live()
    await using _ = world
    const { client, server } = await open()
    await carriedBy('udp')
    world.allows = () => false
    far.proxy.reevaluate('policy version 2')
    const got = server.received
    const sending = setInterval(() => client.send('too late'), 1)
    assert.equal((await endOf(client.socket)).end, 'cut')
    clearInterval(sending)
    await server.ended()
    assert.equal(server.received, got)
    assert.deepEqual(far.proxy.flows(), [])
  })

  it('is found beside a stream of the mesh, when that carries the session', async () => {
    const { world, tcp, open, carriedBy } = await live({ carrier: 'auto' })
    await using _ = world
    // No TCP: what arrives at the proxy is closed at once.
    const refusing = setInterval(() => tcp.sever(), 1)
    const { client } = await open()
    clearInterval(refusing)
    await carriedBy('udp')
    client.socket.destroy()
  })

  it('is not looked for by a host that must use the mesh', async () => {
    const { world, udp, open } = await live({ carrier: 'mesh' })
    await using _ = world
    const { client } = await open()
    await pause(500)
    assert.equal(udp.seen.length, 0)
    client.socket.destroy()
  })

  it('is looked for only while there are flows of datagrams', async () => {
    const { world, near, udp, open, carriedBy } = await live()
    await using _ = world
    const { client, server } = await open()
    await carriedBy('udp')
    client.socket.destroy()
    server.socket.destroy()
    while (near.proxy.flows().length > 0) await pause(10)
    await pause(100)
    const before = udp.seen.length
    await pause(1_000)
    assert.equal(udp.seen.length, before)
  })
})
