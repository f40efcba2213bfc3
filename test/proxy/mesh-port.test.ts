import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { isDataByte } from '../../src/proxy/inbound/index.ts'
import { settled, waitFor } from '../harness/index.ts'
import { DEAD, dialsBack, reachesMeshPort } from './support/carriers.ts'
import { servedFor, shown } from './support/served.ts'
import { converse, endOf } from './support/sockets.ts'
import { type Host, type HostOptions, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const OPTIONS: HostOptions = { carrier: 'auto' }

/** Two hosts, of which the first reaches nothing of the second but its mesh port. */
async function pair(world: World) {
  const [near, far] = [await world.host('alpha', OPTIONS), await world.host('beta', OPTIONS)]
  far.dataAddresses = DEAD
  const end = await reachesMeshPort(near, far)
  const { source, open } = await servedFor(near, far, NAME)
  return { near, far, end, source, open }
}

const handshakes = ({ counts }: Host, result: string): number =>
  counts.get(`warren_handshakes_total{role="server",result="${result}"}`) ?? 0

/** Resolves with whether the other end closed a connection without an answer. */
async function unanswered(socket: Socket): Promise<boolean> {
  let bytes = 0
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  await settled(new Promise<void>(resolve => socket.once('close', () => resolve())), 'the end of a connection')
  return bytes === 0
}

describe('a host of which only the mesh port can be reached', () => {
  it('gets sessions and fast-path connections there, and both ends say so', async () => {
    await using world = await World.create()
    const { near, far, open } = await pair(world)
    const { client, server } = await open()
    assert.deepEqual([shown(near), shown(far)], ['mesh-port', 'mesh-port'])
    await converse(client, server, () => [near, far].every(host => shown(host) === 'mesh-port fastpath'))
    client.destroy()
  })

  it('is dialled at its data port by the next flows, once that can be reached', async () => {
    await using world = await World.create()
    const { near, far, open } = await pair(world)
    await open()
    assert.equal(shown(near), 'mesh-port')
    const { host, port } = far.proxy.dataAddress()
    far.dataAddresses = [`${host}:${port}`]
    near.proxy.pathAppeared('beta')
    await waitFor(async () => {
      const { client } = await open()
      const carrier = shown(near)
      client.destroy()
      return carrier === 'direct'
    }, 'a flow by the data port')
  })

  it('is not dialled there if it announces no sessions there, or has dialled this host itself', async () => {
    await using world = await World.create()
    const { near, far, end, open } = await pair(world)
    near.meshPortsOf = () => []
    await open()
    assert.equal(shown(near), 'mesh')
    near.meshPortsOf = () => [end]
    near.isDialledBy = () => true
    dialsBack(far, near)
    near.proxy.pathAppeared('beta')
    await waitFor(async () => {
      const { client } = await open()
      const carrier = shown(near)
      client.destroy()
      assert.notEqual(carrier, 'mesh-port')
      return carrier === 'reverse'
    }, 'a flow by a connection that is dialled back')
  })

  it('has its flows cut at once by a change of policy, and by the eviction of either host', async () => {
    for (const harm of ['policy', 'source', 'destination'] as const) {
      await using world = await World.create()
      const { near, far, open } = await pair(world)
      const { client, server } = await open()
      await converse(client, server, () => shown(near) === 'mesh-port fastpath')
      if (harm === 'policy') world.allows = () => false
      else world.revoked.add(harm === 'source' ? 'alpha' : 'beta')
      const [one, other] = [endOf(client), endOf(server)]
      const cutting = harm === 'destination' ? near : far
      cutting.proxy.reevaluate('the test')
      assert.equal((await settled(one, 'the end of the client')).end, 'cut')
      await settled(other, 'the end of the server')
      await assert.rejects(open())
    }
  })
})

describe('the mesh port', () => {
  it('hands on what begins as a connection to the data port, and nothing that begins as libp2p', () => {
    const taken = Array.from({ length: 256 }, (_, byte) => byte).filter(isDataByte)
    assert.deepEqual(taken, [0x16, 0x52, 0x53, 0x57])
    assert.equal(isDataByte(0x13), false)
  })

  it('answers nothing to who has no certificate, knows no session and was not asked to dial', async () => {
    await using world = await World.create()
    const { far, end, open } = await pair(world)
    await open()
    for (const byte of [0x52, 0x53, 0x57]) {
      const socket = connect(end)
      socket.on('error', () => {}).write(Buffer.concat([Buffer.of(byte, 1), Buffer.alloc(64, 7)]))
      assert.equal(await unanswered(socket), true)
    }
    const before = handshakes(far, 'refused')
    const over = (ALPNProtocols: string[]) =>
      connectTls({ ...end, ALPNProtocols, ecdhCurve: 'X25519MLKEM768', rejectUnauthorized: false })
    // As at the data port: the handshake says which host it is. Unlike there, nobody joins or renews.
    const asked = over(['warren-host/1'])
    await settled(once(asked, 'secureConnect'), 'the answer which host this is')
    asked.destroy()
    for (const [at, protocol] of ['h2', 'warren-join/1', 'warren-renew/1'].entries()) {
      const socket = over([protocol])
      socket.on('error', () => {})
      assert.equal(await unanswered(socket), true)
      await waitFor(() => handshakes(far, 'refused') === before + at + 1, 'a refusal')
    }
  })

  it('is closed to sessions once the agent stops', async () => {
    await using world = await World.create()
    const { far, end, open } = await pair(world)
    await open()
    await far.proxy.stop()
    const socket = connect(end)
    socket.on('error', () => {}).write(Buffer.of(0x16))
    assert.equal(await unanswered(socket), true)
  })
})
