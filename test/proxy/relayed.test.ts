import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { ErrorCode, systemClock } from '../../src/core/index.ts'
import type { PeerKey } from '../../src/identity/index.ts'
import { encodePreamble, encodeRequest, PREAMBLE_BYTES, proofOf } from '../../src/proxy/relayed/format.ts'
import { JOIN_RATE, MAX_JOINED_PER_HOST } from '../../src/proxy/relayed/limits.ts'
import { settled, waitFor } from '../harness/index.ts'
import { joinedBy, relayBy } from './support/carriers.ts'
import { servedFor, shown } from './support/served.ts'
import { converse, endOf, readAll } from './support/sockets.ts'
import { type Host, type HostOptions, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const TOKEN_BYTES = 32

/** Three hosts, of which the last relays between the first two. */
async function three(world: World, options: HostOptions = {}) {
  const near = await world.host('alpha', { carrier: 'relay' })
  const far = await world.host('beta', { carrier: 'relay' })
  const relay = await world.host('gamma', { carrier: 'relay', ...options })
  joinedBy(near, far, relay)
  const { open } = await servedFor(near, far, NAME)
  return { near, far, relay, open }
}

const relayed = ({ counts }: Host, result: string): number =>
  counts.get(`warren_mesh_relays_total{result="${result}"}`) ?? 0
const ends = ({ lines }: Host): number => lines.filter(({ message }) => message === 'relaying ended').length
const asks = (wanted: Host, count: number): Buffer => encodeRequest(wanted.node.peer, randomBytes(count * TOKEN_BYTES))

async function connectTo({ proxy }: Host): Promise<Socket> {
  const socket = connect(proxy.dataAddress())
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

const closed = (socket: Socket): Promise<Buffer> => settled(readAll(socket), 'the end of a connection')

describe('two hosts that cannot dial each other', () => {
  it('get TCP connections joined by a third, fast-path connections too, and both say so', async () => {
    await using world = await World.create()
    const { near, far, relay, open } = await three(world)
    const { client, server } = await open()
    assert.deepEqual([shown(near), shown(far)], ['relay via gamma', 'relay via gamma'])
    await converse(client, server, () => [near, far].every(host => shown(host) === 'relay via gamma fastpath'))
    client.end('the end')
    assert.equal((await readAll(server)).toString(), 'the end')
    server.end('of all')
    assert.equal((await readAll(client)).toString(), 'of all')
    assert.equal(relayed(relay, 'joined'), 2)
    await waitFor(() => ends(relay) === 1, 'the fast-path connection to end')
    const line = relay.lines.find(({ message }) => message === 'relaying between two members')
    assert.deepEqual([line?.fields['source'], line?.fields['destination']], ['alpha', 'beta'])
  })

  it('take a stream of the mesh if no member joins connections, or none of those does it', async () => {
    await using world = await World.create()
    const { near, far, relay, open } = await three(world)
    relayBy(near, far, 'delta', near.openStream)
    relay.askWanted = () => Promise.reject(new Error('it does not answer'))
    await open()
    assert.equal(shown(near), 'relay via delta')
    assert.equal(relayed(relay, 'no_path'), 1)
    near.relaysTo = () => []
    near.renew([...world.registrations.values()].find(one => one.machine === 'alpha')?.id ?? '')
    await open()
    assert.equal(shown(near), 'relay via delta')
  })

  it('lose their connections when one of them is evicted, at the relay too', async () => {
    for (const machine of ['alpha', 'beta']) {
      await using world = await World.create()
      const { near, far, relay, open } = await three(world)
      const { client, server } = await open()
      await converse(client, server, () => [near, far].every(host => shown(host) === 'relay via gamma fastpath'))
      const both = [endOf(client), endOf(server)]
      world.revoked.add(machine)
      // Only the relay takes notice.
      relay.proxy.reevaluate('the test')
      for (const end of both) assert.equal((await settled(end, 'the end of a flow')).end, 'cut')
      await waitFor(() => ends(relay) === 2, 'both connections to end')
    }
  })
})

describe('a relay', () => {
  it('joins nobody with itself, with the requester or with a host that is no member', async () => {
    await using world = await World.create()
    const { near, far, relay } = await three(world)
    const ask = (wanted: Host) => relay.proxy.relay(near.node.peer, asks(wanted, 1))
    for (const wanted of [near, relay]) await assert.rejects(ask(wanted), { code: ErrorCode.DestinationUnreachable })
    world.revoked.add('beta')
    await assert.rejects(ask(far), { code: ErrorCode.DestinationUnreachable })
    for (const bytes of [0, 31, 32, 33, 32 + 33 * TOKEN_BYTES])
      await assert.rejects(relay.proxy.relay(near.node.peer, randomBytes(bytes)), { code: ErrorCode.MessageMalformed })
  })

  it('closes what arrives with a guessed, used or incomplete proof, and answers nothing', async () => {
    await using world = await World.create()
    const { near, far, relay, open } = await three(world)
    const tokens: Buffer[] = []
    const { askRelay } = near
    near.askRelay = async (peer, request) => {
      tokens.push(Buffer.from(request.subarray(32)))
      return await askRelay(peer, request)
    }
    const { client } = await open()
    assert.equal(tokens.length, 1)
    const preambles = [near, far].map(({ node }) =>
      encodePreamble(proofOf({ token: tokens[0] ?? Buffer.of(), relay: relay.node.peer, dialler: node.peer }))
    )
    for (const preamble of [
      ...preambles,
      encodePreamble(randomBytes(32)),
      encodePreamble(randomBytes(32)).subarray(0, PREAMBLE_BYTES - 1)
    ]) {
      const socket = await connectTo(relay)
      socket.write(preamble)
      assert.equal((await closed(socket)).length, 0)
    }
    client.destroy()
    assert.equal(relayed(relay, 'joined'), 1)
  })

  it('waits for both connections for some seconds, and then closes the one that came', async () => {
    await using world = await World.create()
    const { near, far, relay } = await three(world)
    far.dataPortsOf = () => [{ host: '127.0.0.1', port: 1 }]
    const request = asks(far, 1)
    assert.equal(await relay.proxy.relay(near.node.peer, request), 1)
    const socket = await connectTo(relay)
    socket.write(
      encodePreamble(proofOf({ token: request.subarray(32), relay: relay.node.peer, dialler: near.node.peer }))
    )
    assert.equal((await closed(socket)).length, 0)
    assert.equal(relayed(relay, 'joined'), 0)
  })

  it('joins so many connections for one host and no more, and keeps no other host from its own', async () => {
    await using world = await World.create()
    let nowMs = 0
    const { near, far, relay } = await three(world, { clock: { ...systemClock, monotonicMs: () => nowMs } })
    relay.askWanted = async (_peer, request) => request.length / TOKEN_BYTES - 1
    const ask = (opener: PeerKey, count: number) => relay.proxy.relay(opener, asks(far, count))
    for (let left = MAX_JOINED_PER_HOST; left > 0; left -= 32) assert.equal(await ask(near.node.peer, 32), 32)
    nowMs += 10_000
    await assert.rejects(ask(near.node.peer, 1), { code: ErrorCode.LimitExceeded })
    assert.deepEqual(relay.hits, ['proxy_relayed_per_host'])
    assert.equal(await ask(far.node.peer, 1).catch(({ code }) => code), ErrorCode.DestinationUnreachable)
    const other = await world.host('delta')
    assert.equal(await ask(other.node.peer, 1), 1)
  })

  it('takes so many requests of one host in a second', async () => {
    await using world = await World.create()
    let nowMs = 0
    const { near, far, relay } = await three(world, { clock: { ...systemClock, monotonicMs: () => nowMs } })
    relay.askWanted = async () => 0
    const ask = (count: number) => relay.proxy.relay(near.node.peer, asks(far, count))
    for (let left = JOIN_RATE.burst; left > 0; left -= 32) assert.equal(await ask(32), 0)
    await assert.rejects(ask(1), { code: ErrorCode.LimitExceeded })
    assert.deepEqual(relay.hits, ['proxy_relay_rate'])
    nowMs += 1_000
    assert.equal(await ask(JOIN_RATE.perSecond), 0)
  })

  it('that was reached is dialled again by the wanted host, even if the opener did not come', async () => {
    await using world = await World.create()
    const { near, far, relay, open } = await three(world)
    assert.equal(await relay.proxy.relay(near.node.peer, asks(far, 1)), 1)
    await waitFor(
      () => far.counts.get('warren_reverse_connections_total{role="dialler",result="failed"}') === 1,
      'the dial that nobody uses to fail'
    )
    await open()
    assert.equal(shown(near), 'relay via gamma')
  })
})
