import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { waitFor } from '../harness/wait-for.ts'
import { Framed } from './support/datagrams.ts'
import { proxyTo } from './support/proxy.ts'
import { Accepted } from './support/sockets.ts'
import { UdpProxy } from './support/udp-proxy.ts'
import { World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const ROUNDS = 300

/** A flow of datagrams between two hosts with two networks for them, of which only the first carries TCP. */
async function live({ asks }: { readonly asks: boolean }) {
  const world = await World.create()
  const near = await world.host('alpha')
  const far = await world.host('beta', { multipath: asks })
  const real = far.dataAddresses[0] ?? ''
  const tcp = await proxyTo(world, real)
  const first = await UdpProxy.beside(world, tcp.address, real)
  const other = tcp.address.replace('127.0.0.1', '127.0.0.2')
  const second = await UdpProxy.beside(world, other, real)
  far.dataAddresses = [tcp.address, other]
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  await far.serve(NAME, accepted.push, { protocol: 'udp' })
  const { path } = await near.connect(source, NAME, false, 'udp')
  const client = await Framed.dial(path)
  client.send('hello')
  const server = new Framed(await accepted.next())
  assert.equal(await server.text(), 'hello')
  const carriers = (): (string | undefined)[] => [near, far].map(host => host.proxy.flows()[0]?.carrier)
  const carriedBy = async (carrier: string): Promise<void> => {
    const keepBusy = setInterval(() => client.send('busy'), 50)
    await waitFor(() => carriers().every(one => one === carrier), `flows on ${carrier}, which are on ${carriers()}`)
    clearInterval(keepBusy)
  }
  return { world, near, far, first, second, client, server, carriedBy, carriers }
}

/** Sends numbered datagrams one by one, each as soon as the one before has come, and resolves with how often each came. */
async function exchange(from: Framed, to: Framed, name: string, stop?: () => boolean): Promise<void> {
  for (let index = 0; stop === undefined ? index < ROUNDS : !stop(); index += 1) {
    from.send(`${name} ${index}`)
    let text = await to.text()
    while (text === 'busy') text = await to.text()
    assert.equal(text, `${name} ${index}`, 'none is lost, and none comes twice')
  }
}

describe('a flow whose server asks for two paths at once', () => {
  it('loses nothing, and gets nothing twice, while each path loses every other datagram', async () => {
    const { world, near, far, first, second, client, server, carriedBy } = await live({ asks: true })
    await using _ = world
    await carriedBy('udp x2')
    // Exactly one of the two copies of a packet passes. Pings do on either path: else that would be given up.
    const fateOn = (path: number) => (packet: Buffer) =>
      packet.length < 200 && (packet.at(-1) ?? 0) % 2 === path ? 'drop' : 'pass'
    first.fate = fateOn(0)
    second.fate = fateOn(1)
    await exchange(client, server, 'up')
    await exchange(server, client, 'down')
    first.fate = () => 'pass'
    second.fate = () => 'pass'
    await exchange(client, server, 'again')
    const counted = [near, far].flatMap(({ counts }) =>
      [...counts].filter(([name]) => name.includes('datagram_copies'))
    )
    assert.equal(new Set(counted.map(([name]) => name)).size, 2, `sent and removed: ${counted}`)
    client.socket.destroy()
  })

  it('loses nothing when one path ends, whichever, and uses both again once it is back', async () => {
    const { world, first, second, client, server, carriedBy, carriers } = await live({ asks: true })
    await using _ = world
    for (const path of [first, second]) {
      await carriedBy('udp x2')
      path.fate = () => 'drop'
      const isSeen = (): boolean => carriers().every(one => one === 'udp')
      // An end that sends nothing pings seldom, and would notice late.
      await Promise.all([exchange(client, server, 'up', isSeen), exchange(server, client, 'down', isSeen)])
      path.fate = () => 'pass'
    }
    await carriedBy('udp x2')
    client.socket.destroy()
  })
})

describe('a flow whose workloads do not ask', () => {
  it('stays on one path, where there are two', async () => {
    const { world, second, client, server, carriedBy } = await live({ asks: false })
    await using _ = world
    await carriedBy('udp')
    await exchange(client, server, 'up')
    assert.equal(second.seen.length, 0)
    client.socket.destroy()
  })
})
