import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { createServer as createTls } from 'node:tls'
import { connectTcp, ErrorCode, parseHostPort, systemClock, WarrenError } from '../../src/core/index.ts'
import type { PeerKey } from '../../src/identity/index.ts'
import {
  type CarrierDeps,
  carrierNames,
  carriers,
  probeCarriers,
  requireCarrier
} from '../../src/proxy/carriers/index.ts'
import { agentCredentials, TestPki, TRUST_DOMAIN } from './support/pki.ts'

const PEER = 'peer' as PeerKey

const nowhere = async (): Promise<never> => {
  throw new Error('no mesh')
}
const noMesh: CarrierDeps = {
  trustDomain: TRUST_DOMAIN,
  verifyAgent: () => ({ ok: false, detail: 'it is not known' }),
  openStream: nowhere,
  meshPortsOf: () => [],
  isDialledBy: () => false,
  relays: { relaysTo: () => [], worked: () => {}, connect: nowhere },
  openRelayed: nowhere,
  connectBack: nowhere,
  punch: { canReach: () => false, connect: nowhere },
  askAlive: nowhere,
  helperFor: nowhere
}
const answers = async (): Promise<void> => {}

test('each carrier has a name and a rank of its own, and the best comes first', () => {
  const all = carriers(noMesh)
  const ranks = all.map(({ rank }) => rank)
  assert.deepEqual(
    ranks,
    [...new Set(ranks)].toSorted((one, other) => one - other)
  )
  assert.equal(new Set(all.map(({ name }) => name)).size, all.length)
  assert.deepEqual(carrierNames(), ['auto', ...all.map(({ name }) => name)])
})

test('only what was dialled to the data port itself may join or send packets to where it leads', () => {
  const all = carriers(noMesh)
  for (const { name, allows } of all) {
    const isDirect = name === 'direct'
    const isTcp = isDirect || ['mesh-port', 'reverse', 'punched'].includes(name)
    const expected = {
      fastPath: isTcp || name === 'relay',
      datagrams: isDirect,
      identification: isTcp,
      unauthenticated: isDirect
    }
    assert.deepEqual(allows, expected, name)
  }
})

test('what is no carrier is refused with the names of those that are', () => {
  for (const name of carrierNames()) requireCarrier(name)
  assert.throws(
    () => requireCarrier('pigeon'),
    (err: unknown) =>
      WarrenError.is(err, ErrorCode.InvalidOption) &&
      /auto, direct, mesh-port, reverse, punched, mesh, relay/.test(err.hint ?? '')
  )
})

/** What `explain` says of the way to an agent that listens at `dataAddresses`. */
function probed(dataAddresses: readonly string[], deps: Partial<CarrierDeps>) {
  const agent = { machine: 'b', peer: PEER, dataAddresses }
  return probeCarriers(carriers({ ...noMesh, ...deps }), agent, systemClock, AbortSignal.timeout(30_000))
}

/** An agent of b, as far as TLS can tell. Returns its address. */
async function agentOf(t: TestContext): Promise<string> {
  const pki = await TestPki.create()
  const { certPem: cert, key } = await agentCredentials(await pki.node('b'))
  const pem = key.export({ type: 'pkcs8', format: 'pem' })
  const agent = createTls({ cert, key: pem, ALPNProtocols: ['warren-host/1'] }, socket => socket.destroySoon())
  agent.listen(0, '127.0.0.1')
  t.after(() => agent.close())
  await once(agent, 'listening')
  return `127.0.0.1:${(agent.address() as AddressInfo).port}`
}

test('a probe names the path that a connection would take first, and what each carrier did', async t => {
  const address = await agentOf(t)
  const verifyAgent = () => ({ ok: true, identity: { machine: 'b', peer: PEER } }) as const
  const { ok, text } = await probed([address], { askAlive: answers, verifyAgent })
  assert.equal(ok, true)
  assert.match(text, new RegExp(`^direct: direct ${address} answers in [\\d.]+ ms; mesh answers in [\\d.]+ ms$`))
})

test('a probe asks an agent to dial back only when it cannot be dialled, and verifies who comes', async t => {
  const address = await agentOf(t)
  const verifyAgent = () => ({ ok: true, identity: { machine: 'b', peer: PEER } }) as const
  let asked = 0
  const connectBack = (): Promise<Socket> => {
    asked += 1
    return connectTcp(parseHostPort(address), AbortSignal.timeout(5_000))
  }
  const dialled = await probed([address], { askAlive: answers, verifyAgent, connectBack })
  assert.match(dialled.text, /^direct: direct [^;]*; mesh answers in [\d.]+ ms$/)
  assert.equal(asked, 0)
  const { ok, text } = await probed(['127.0.0.1:1'], { askAlive: answers, verifyAgent, connectBack })
  assert.equal(ok, true)
  assert.match(
    text,
    /^reverse: direct 127\.0\.0\.1:1 does not .*; reverse answers in [\d.]+ ms; mesh answers in [\d.]+ ms$/
  )
  const other = () => ({ ok: true, identity: { machine: 'c', peer: PEER } }) as const
  const mistaken = await probed(['127.0.0.1:1'], { askAlive: answers, verifyAgent: other, connectBack })
  assert.match(mistaken.text, /^mesh: .*; reverse does not answer \(the agent of c answers there\); mesh answers/)
})

test('a probe has a connection between NATs made only when no better carrier reaches the agent, and verifies who comes', async t => {
  const address = await agentOf(t)
  const verifyAgent = () => ({ ok: true, identity: { machine: 'b', peer: PEER } }) as const
  let asked = 0
  const punch = {
    canReach: () => true,
    connect: (): Promise<Socket> => {
      asked += 1
      return connectTcp(parseHostPort(address), AbortSignal.timeout(5_000))
    }
  }
  await probed([address], { askAlive: answers, verifyAgent, punch })
  assert.equal(asked, 0)
  const { text } = await probed(['127.0.0.1:1'], { verifyAgent, punch, helperFor: async () => 'gamma' })
  assert.match(
    text,
    /^punched: .*; punched answers in [\d.]+ ms; mesh does not .*; relay via gamma answers in [\d.]+ ms$/
  )
  const other = () => ({ ok: true, identity: { machine: 'c', peer: PEER } }) as const
  const mistaken = await probed(['127.0.0.1:1'], { askAlive: answers, verifyAgent: other, punch })
  assert.match(mistaken.text, /^mesh: .*; punched does not answer \(the agent of c answers there\); mesh answers/)
})

test('a probe takes no other host for the one that it is for, and says whose agent answers', async t => {
  const address = await agentOf(t)
  for (const [verdict, why] of [
    [{ ok: true, identity: { machine: 'c', peer: PEER } }, /the agent of c answers there/],
    [{ ok: true, identity: { machine: 'b', peer: 'other' as PeerKey } }, /an agent of b with other keys answers there/],
    [{ ok: false, detail: 'it is revoked' }, /an agent that is not trusted answers there: it is revoked/]
  ] as const) {
    const { ok, text } = await probed([address], { verifyAgent: () => verdict })
    assert.equal(ok, false)
    assert.match(text, why)
  }
  const elsewhere = await probed([address], { trustDomain: 'other.example' })
  assert.match(elsewhere.text, /another trust domain answers there, test\.example by its own account/)
})

test('a probe asks third members for help only when no other carrier reaches the agent', async () => {
  let asked = 0
  const helperFor = async (): Promise<string> => {
    asked += 1
    return 'gamma'
  }
  const overMesh = await probed(['127.0.0.1:1'], { askAlive: answers, helperFor })
  assert.match(
    overMesh.text,
    /^mesh: direct 127\.0\.0\.1:1 does not lead to it \(nobody listens there, .*\); reverse does not answer \(no mesh\); mesh answers in [\d.]+ ms$/
  )
  assert.equal(asked, 0)
  const relayed = await probed([], { helperFor })
  assert.match(
    relayed.text,
    /^relay via gamma: mesh does not answer \(no mesh\); relay via gamma answers in [\d.]+ ms$/
  )
  assert.equal(asked, 1)
})

test('a probe that nothing answers says so of each carrier', async () => {
  const { ok, text } = await probed([], {})
  assert.equal(ok, false)
  assert.equal(text, 'mesh does not answer (no mesh); relay does not answer (no mesh)')
})
