import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { type Clock, ErrorCode, systemClock, WarrenError } from '../../src/core/index.ts'
import type { ProxyLimits } from '../../src/proxy/index.ts'
import { checkProof, MAX_PROOF_BYTES, makeProof, type Role } from '../../src/proxy/session/proof.ts'
import { create, decode, proxyPb, toBinary } from '../../src/wire/index.ts'
import { waitFor } from '../harness/wait-for.ts'
import { CARRIERS, type CarrierCase, hostsJoinedBy, SHOWN } from './support/carriers.ts'
import { Framed } from './support/datagrams.ts'
import { svidOf, TestPki } from './support/pki.ts'
import { Accepted, dial, endOf, readBytes } from './support/sockets.ts'
import { World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const UDP_NAME = 'dev.test.datagrams.default'
const ID = 'spiffe://test.example/dev/test/client/default/alpha'

const refusedWith = (reason: RegExp) => (err: unknown) =>
  WarrenError.is(err, ErrorCode.CertificateRefused) && reason.test(err.message)

const LIFETIME_MS = 600_000

/** Two hosts whose SVIDs live that long by a clock that the test owns, and the ids of what is registered there. */
async function live(carrier: CarrierCase, limits: Partial<ProxyLimits> = {}) {
  const world = await World.create()
  let aheadMs = 0
  const clock: Clock = { ...systemClock, wallMs: () => systemClock.wallMs() + aheadMs }
  const [near, far] = await hostsJoinedBy(world, carrier, { limits, clock })
  near.svidLifetimeMs = LIFETIME_MS
  far.svidLifetimeMs = LIFETIME_MS
  const source = near.register('dev.test.client.default')
  const [accepted, datagrams] = [new Accepted(), new Accepted()]
  const served = await far.serve(NAME, accepted.push)
  const servedUdp = await far.serve(UDP_NAME, datagrams.push, { protocol: 'udp' })
  const { path } = await near.connect(source, NAME)
  const open = async () => {
    const client = await dial(path)
    client.write('x')
    const server = await accepted.next()
    await readBytes(server, 1)
    assert.deepEqual(
      [near, far].map(host => host.proxy.flows().at(-1)?.carrier),
      [SHOWN[carrier], SHOWN[carrier]]
    )
    return { client, server }
  }
  const openUdp = async () => {
    const client = await Framed.dial((await near.connect(source, UDP_NAME, false, 'udp')).path)
    client.send('x')
    const server = new Framed(await datagrams.next())
    assert.equal(await server.text(), 'x')
    return { client, server }
  }
  const renewFor = (ms: number): void => {
    near.svidLifetimeMs = ms
    far.svidLifetimeMs = ms
    near.renew(source.id)
    for (const { id } of [served, servedUdp]) far.renew(id)
  }
  /** Lets every certificate end but those that were renewed for longer. */
  const passLifetime = async (): Promise<void> => {
    aheadMs += LIFETIME_MS
    for (const host of [near, far]) await host.proxy.proveAgain()
  }
  return { world, near, far, source, served, open, openUdp, renewFor, passLifetime }
}

async function echoes(client: Socket, server: Socket): Promise<void> {
  client.write('live')
  assert.equal((await readBytes(server, 4)).toString(), 'live')
}

for (const carrier of CARRIERS) {
  describe(`a session whose certificates end, over ${carrier}`, () => {
    it('lives on with its flows when both ends have proved renewed ones', async () => {
      const { world, near, far, open, openUdp, renewFor, passLifetime } = await live(carrier)
      await using _ = world
      const [tcp, udp] = [await open(), await openUdp()]
      renewFor(3_600_000)
      await near.proxy.proveAgain()
      await passLifetime()
      await echoes(tcp.client, tcp.server)
      await udp.client.sendUntilHeard(udp.server, 'to the server')
      await udp.server.sendUntilHeard(udp.client, 'to the client')
      assert.equal(near.proxy.sessions(), 2)
      assert.equal(far.proxy.sessions(), 2)
      assert.equal(near.counts.get('warren_session_proofs_total{role="client",result="ok"}'), 2)
      assert.equal(far.counts.get('warren_session_proofs_total{role="server",result="ok"}'), 2)
      assert.deepEqual([near.proxy.sessionAlarms(), far.proxy.sessionAlarms()], [[], []])
    })

    it('lives on for the flows that it has while new ones have a session of their own', async () => {
      const { world, near, open, renewFor, passLifetime } = await live(carrier)
      await using _ = world
      const before = await open()
      renewFor(3_600_000)
      const between = await open()
      await waitFor(() => near.proxy.sessions() === 2, 'another session')
      between.client.end()
      between.server.end()
      await waitFor(() => near.proxy.flowCount() === 1, 'the flow to end')
      const after = await open()
      await near.proxy.proveAgain()
      await passLifetime()
      await echoes(before.client, before.server)
      await echoes(after.client, after.server)
      before.client.end()
      before.server.end()
      await near.flowEnd(/ended/)
      while (near.proxy.sessions() > 1) await pause(20)
    })

    it('lives on though it has as many flows as it may', async () => {
      const { world, near, open, renewFor, passLifetime } = await live(carrier, { flowsPerWorkload: 3 })
      await using _ = world
      const pairs = [await open(), await open(), await open()]
      renewFor(3_600_000)
      await near.proxy.proveAgain()
      await passLifetime()
      for (const { client, server } of pairs) await echoes(client, server)
    })

    it('ends without a word when it has no flows', async () => {
      const { world, near, far, open, passLifetime } = await live(carrier)
      await using _ = world
      const { client, server } = await open()
      client.end()
      server.end()
      for (const host of [near, far]) await host.flowEnd(/ended/)
      assert.deepEqual([near.proxy.sessions(), far.proxy.sessions()], [1, 1])
      await passLifetime()
      for (const host of [near, far]) {
        await waitFor(() => host.proxy.sessions() === 0, 'its session to be closed')
        assert.deepEqual(
          host.lines.filter(({ message }) => /cut/.test(message)),
          []
        )
      }
    })

    for (const [end, role] of [
      ['source', 'near'],
      ['destination', 'far']
    ] as const) {
      it(`is cut at both ends when that of its ${end} was not renewed`, async () => {
        const { world, near, far, source, served, open, passLifetime } = await live(carrier)
        await using _ = world
        const { client, server } = await open()
        const [renewing, id] = role === 'near' ? [far, served.id] : [near, source.id]
        renewing.svidLifetimeMs = 3_600_000
        renewing.renew(id)
        await near.proxy.proveAgain()
        await passLifetime()
        const ends = await Promise.all([endOf(client), endOf(server)])
        assert.deepEqual(
          ends.map(({ end }) => end),
          ['cut', 'cut']
        )
        // A proof is of both ends or of none, so both verify the same: whoever looks first says why.
        const why = /no longer trusted: its certificate ended at .* and it has proved no other since/
        await Promise.race([near, far].map(verifier => verifier.flowEnd(why)))
      })
    }
  })
}

/** A TLS connection, as far as a proof needs one: what both of its ends can export. */
function connection(): TLSSocket {
  const exported = randomBytes(32)
  return { exportKeyingMaterial: () => exported } as unknown as TLSSocket
}

describe('a proof of a renewed certificate', async () => {
  const pki = await TestPki.create()
  const [alpha, beta] = [await pki.node('alpha'), await pki.node('beta')]
  const verifier = { workload: (leaf: Uint8Array) => pki.verifier(leaf, new Set<string>()) }
  const socket = connection()
  const check = (bytes: Uint8Array, over = socket, role: Role = 'client') => checkProof(bytes, over, role, ID, verifier)

  it('counts for the identity, the end and the connection it was made for', async () => {
    const proof = makeProof(socket, 'client', await svidOf(alpha, ID))
    assert.equal(check(proof).identity.spiffeId, ID)
    assert.throws(() => check(proof, socket, 'server'), refusedWith(/has not signed for this session/))
    assert.throws(() => check(proof, connection()), refusedWith(/has not signed for this session/))
  })

  it('does not make another workload of the one that opened the session', async () => {
    const other = ID.replace('client', 'admin')
    const [admin, foreign] = await Promise.all([svidOf(alpha, other), svidOf(beta, ID)])
    assert.throws(() => check(makeProof(socket, 'client', admin)), refusedWith(/admin.*not spiffe:.*client/))
    assert.throws(() => check(makeProof(socket, 'client', foreign)), refusedWith(/not signed by the CA of alpha/))
  })

  it('needs the key of the certificate, and one that is in date', async () => {
    const [good, stranger] = await Promise.all([svidOf(alpha, ID), svidOf(alpha, ID)])
    const stolen = makeProof(socket, 'client', { certPem: good.certPem, key: stranger.key })
    assert.throws(() => check(stolen), refusedWith(/has not signed/))
    const old = await svidOf(alpha, ID, { nowMs: Date.now() - 7_200_000, lifetimeMs: 3_600_000 })
    assert.throws(() => check(makeProof(socket, 'client', old)), refusedWith(/ended at/))
  })

  it('is bounded, and refused when it is not one', async () => {
    const proof = makeProof(socket, 'client', await svidOf(alpha, ID))
    const { certificateChain, signature } = decode(proxyPb.SessionProofSchema, proof, MAX_PROOF_BYTES)
    for (const chain of [[], certificateChain.slice(0, 2), [...certificateChain, ...certificateChain]]) {
      const content = create(proxyPb.SessionProofSchema, { certificateChain: chain, signature })
      assert.throws(() => check(toBinary(proxyPb.SessionProofSchema, content)), refusedWith(/three certificates/))
    }
    assert.throws(() => check(Buffer.from('nonsense')), { code: ErrorCode.MessageMalformed })
  })
})
