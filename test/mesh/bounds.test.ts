import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { streamPair } from '@libp2p/utils'
import { silentLogger } from '../../src/core/index.ts'
import { type PeerKey, peerKeyOf } from '../../src/identity/index.ts'
import { type Session, Sessions } from '../../src/mesh/admission/session.ts'
import { AddressStore } from '../../src/mesh/dialing/address-store.ts'
import { parsePeerAddress } from '../../src/mesh/dialing/addresses.ts'
import { backoffMs } from '../../src/mesh/dialing/backoff.ts'
import { Lag } from '../../src/mesh/dialing/lag.ts'
import { gossipRepair } from '../../src/mesh/gossip/gossip-repair.ts'
import { toPrivateKey } from '../../src/mesh/keys.ts'
import { MAX_KNOWN_PEERS, MAX_STREAM_READ_BYTES, MAX_STREAM_WINDOW_BYTES } from '../../src/mesh/limits.ts'
import { FrameStream } from '../../src/mesh/requests/frame-stream.ts'
import { decodeResponse, encodeFailure, encodeResponse } from '../../src/mesh/requests/response.ts'

// Not all of one byte: zeros are nobody's key.
const peer = (byte: number): PeerKey => peerKeyOf(new Uint8Array(32).fill(byte).with(0, 9))
const SELF = peer(0)
const never = new AbortController().signal

test('the window of a stream is at most half of the buffer that must hold it', () => {
  assert.ok(2 * MAX_STREAM_WINDOW_BYTES <= MAX_STREAM_READ_BYTES)
})

test('the wait between dials grows from 250 ms to 10 s and is never zero', () => {
  assert.equal(backoffMs(0, 1), 250)
  assert.equal(backoffMs(3, 1), 2_000)
  assert.equal(backoffMs(1_000_000, 1), 10_000)
  assert.equal(backoffMs(1_000_000, 0), 5_000)
  assert.equal(backoffMs(0, 0), 125)
})

test('lag is what ticks are late, and fades', () => {
  const lag = new Lag(100)
  for (const at of [0, 100, 220]) lag.tick(at)
  assert.equal(lag.ms, 0)
  lag.tick(845)
  assert.equal(lag.ms, 500)
  lag.tick(945)
  assert.equal(lag.ms, 250)
})

test('an address is host, TCP port and perhaps a peer, and nothing else', () => {
  const text = `/ip4/192.0.2.1/tcp/7460/p2p/${peer(1)}`
  assert.deepEqual(parsePeerAddress(text), { address: '/ip4/192.0.2.1/tcp/7460', peer: peer(1) })
  assert.deepEqual(parsePeerAddress('/dns4/a.example/tcp/1'), { address: '/dns4/a.example/tcp/1', peer: undefined })
  const bad = [
    '',
    'x',
    '/ip4/192.0.2.1',
    '/ip4/192.0.2.1/udp/1',
    '/ip4/192.0.2.1/tcp/0',
    '/ip4/192.0.2.1/tcp/1/ws',
    `/ip4/192.0.2.1/tcp/1/p2p/${peer(1)}/p2p-circuit`,
    '/ip4/192.0.2.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N',
    '/unix/tmp/x',
    `/dns4/${'a'.repeat(300)}/tcp/1`
  ]
  for (const address of bad) assert.throws(() => parsePeerAddress(address), { code: 'INVALID_ARGUMENT' }, address)
})

test('hints are few, and push out neither each other nor members', () => {
  const store = new AddressStore(SELF)
  const hint = (byte: number) => ({ address: `/ip4/192.0.2.${byte}/tcp/1`, peer: peer(byte) })
  store.add(hint(200), 'member', 0)
  for (let byte = 1; byte <= 100; byte += 1) store.add(hint(byte), 'hint', 0)
  assert.equal(store.targets().length, 65)
  assert.ok(store.find(peer(1)))
  assert.ok(store.find(peer(200)))
  assert.equal(store.members(), 1)
})

test('a hint is dropped after five failures, a member and a seed never', () => {
  const store = new AddressStore(SELF)
  for (const [byte, source] of [
    [1, 'hint'],
    [2, 'member'],
    [3, 'seed']
  ] as const) {
    store.add({ address: '/ip4/192.0.2.1/tcp/1', peer: peer(byte) }, source, 0)
    const target = store.find(peer(byte))!
    for (let failures = 0; failures < 100; failures += 1) store.failed(target, 0)
  }
  assert.deepEqual(
    store.targets().map(target => target.source),
    ['seed', 'member']
  )
})

test('of many addresses sixteen are kept, and the one that worked comes first', () => {
  const store = new AddressStore(SELF)
  for (let port = 1; port <= 20; port += 1)
    store.add({ address: `/ip4/192.0.2.1/tcp/${port}`, peer: peer(1) }, 'member', 0)
  const target = store.find(peer(1))!
  assert.equal(target.addresses.length, 16)
  assert.equal(target.addresses[0], '/ip4/192.0.2.1/tcp/20')
  store.succeeded(target, target.addresses[5], 0)
  assert.equal(target.addresses[0], '/ip4/192.0.2.1/tcp/15')
  assert.equal(target.addresses.length, 16)
})

test('a hint cannot push out an address that a member gave', () => {
  const store = new AddressStore(SELF)
  const add = (port: number, source: 'member' | 'hint') =>
    store.add({ address: `/ip4/192.0.2.1/tcp/${port}`, peer: peer(1) }, source, 0)
  for (let port = 1; port <= 16; port += 1) add(port, 'member')
  const before = store.find(peer(1))!.addresses
  add(9, 'hint')
  assert.deepEqual(store.find(peer(1))!.addresses, before)
})

test('our own address is never dialled', () => {
  const store = new AddressStore(SELF)
  store.add({ address: '/ip4/127.0.0.1/tcp/1', peer: SELF }, 'seed', 0)
  assert.deepEqual(store.targets(), [])
})

test('a full book forgets the member that was away for longest, and no seed', () => {
  const store = new AddressStore(SELF)
  const key = (n: number) => peerKeyOf(Buffer.from(`09${n.toString(16).padStart(62, '0')}`, 'hex'))
  store.add({ address: '/ip4/192.0.2.9/tcp/1', peer: key(30_000) }, 'seed', 0)
  for (let n = 1; n <= MAX_KNOWN_PEERS; n += 1) {
    store.add({ address: '/ip4/192.0.2.1/tcp/1', peer: key(n) }, 'member', 0)
    store.succeeded(store.find(key(n))!, undefined, n === 7 ? -1 : n)
  }
  store.add({ address: '/ip4/192.0.2.1/tcp/1', peer: key(20_000) }, 'member', 0)
  assert.equal(store.find(key(7)), undefined)
  assert.ok(store.find(key(20_000)) && store.find(key(1)) && store.find(key(30_000)))
})

test('frames are read whole however they are cut, and one too large or cut short is refused', async () => {
  const [near, far] = await streamPair()
  const writer = new FrameStream(near, 0)
  const reader = new FrameStream(far, 60_000)
  await writer.write([Buffer.alloc(50_000, 3), Buffer.from('next')], never)
  assert.equal((await reader.read(50_000, never))?.length, 50_000)
  assert.equal((await reader.read(4, never))?.toString(), 'next')
  near.send(Buffer.from([0, 0, 0]))
  near.send(Buffer.from([3, 1]))
  near.send(Buffer.from([2, 3]))
  assert.deepEqual(await reader.read(3, never), Buffer.from([1, 2, 3]))
  await near.close()
  assert.equal(await reader.read(3, never), undefined)

  const [near2, far2] = await streamPair()
  near2.send(Buffer.from([0, 0, 0xc3, 0x51]))
  await assert.rejects(new FrameStream(far2, 60_000).read(50_000, never), { code: 'MESSAGE_TOO_LARGE' })

  const [near3, far3] = await streamPair()
  near3.send(Buffer.from([0, 0, 0, 10, 1, 2]))
  await near3.close()
  await assert.rejects(new FrameStream(far3, 60_000).read(50_000, never), { code: 'STREAM_TRUNCATED' })
})

test('a sender that goes on after its frame does not fill our memory', async () => {
  const [near, far] = await streamPair()
  const reader = new FrameStream(far, 100)
  near.send(Buffer.alloc(101))
  const isOver = (): boolean => far.status !== 'open'
  while (!isOver()) await new Promise(resolve => setImmediate(resolve))
  assert.equal(reader.isFresh, false)
  await assert.rejects(reader.read(50, never), { code: 'MESSAGE_TOO_LARGE' })
})

test('a response frame says whether it is an answer, and a damaged one is refused', () => {
  assert.deepEqual(Buffer.from(decodeResponse(encodeResponse(Buffer.from('ok')))), Buffer.from('ok'))
  assert.throws(() => decodeResponse(encodeFailure(new Error('x'))), { code: 'INTERNAL' })
  assert.throws(() => decodeResponse(Buffer.from([1, ...Buffer.from('NONSENSE why')])), { code: 'INTERNAL' })
  assert.throws(() => decodeResponse(Buffer.from([1])), { code: 'INTERNAL' })
  for (const frame of [Buffer.alloc(0), Buffer.from([2])]) {
    assert.throws(() => decodeResponse(frame), { code: 'MESSAGE_MALFORMED' })
  }
})

test('a peer key is a seed or a KeyObject of Ed25519, and both give the same key', () => {
  const { privateKey } = generateKeyPairSync('ed25519')
  const seed = Buffer.from(privateKey.export({ format: 'jwk' }).d!, 'base64url')
  assert.deepEqual(toPrivateKey(seed).raw, toPrivateKey(privateKey).raw)
  assert.throws(() => toPrivateKey(new Uint8Array(31)), { code: 'INVALID_ARGUMENT' })
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  assert.throws(() => toPrivateKey(ec), { code: 'INVALID_ARGUMENT' })
})

test('a gossip stream that is lost is opened again on the same connection', async t => {
  const lost = { direction: 'outbound', protocol: '/meshsub/1.2.0', status: 'reset' }
  const remotePeer = { toString: () => 'peer' }
  const old = { remotePeer, streams: [lost], timeline: { open: 0 } }
  const young = { remotePeer, streams: [], timeline: { open: Date.now() } }
  const sound = { remotePeer, streams: [{ ...lost, status: 'open' }], timeline: { open: 0 } }
  const renewed: unknown[] = []
  const topology = { onConnect: (_: unknown, connection: unknown) => renewed.push(connection) }
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const repair = gossipRepair(silentLogger)({
    registrar: { getProtocols: () => ['/meshsub/1.2.0', '/other'], getTopologies: () => [topology] },
    connectionManager: { getConnections: () => [old, young, sound] }
  } as never)
  await repair.start()
  t.mock.timers.tick(3_000)
  await new Promise(resolve => setImmediate(resolve))
  await repair.stop()
  assert.deepEqual(renewed, [old])
})

/** Two hosts' views of one host; `small` has the smaller key. */
const SMALL = [peer(1), peer(2)].sort()[0]!
const LARGE = [peer(1), peer(2)].sort()[1]!

async function begin(sessions: Sessions, other: PeerKey, direction: 'inbound' | 'outbound'): Promise<Session> {
  const [raw] = await streamPair()
  return sessions.begin(other, direction, raw)
}

test('of two crossing dials the one of the smaller key stays, as both hosts see it', async () => {
  const small = new Sessions(SMALL)
  await begin(small, LARGE, 'outbound')
  assert.equal(small.onAnswer(await begin(small, LARGE, 'inbound')).keep, false)

  const large = new Sessions(LARGE)
  const own = await begin(large, SMALL, 'outbound')
  const theirs = await begin(large, SMALL, 'inbound')
  assert.equal(large.onAnswer(theirs).keep, true)
  assert.equal(large.onComplete(own).keep, false)
})

test('two dials that were both completed leave the one of the smaller key', async () => {
  const small = new Sessions(SMALL)
  const theirs = await begin(small, LARGE, 'inbound')
  const own = await begin(small, LARGE, 'outbound')
  assert.equal(small.onComplete(own).keep, true)
  small.opened(own, 'm', own.raw)
  assert.equal(small.onComplete(theirs).keep, false)

  const large = new Sessions(LARGE)
  const inbound = await begin(large, SMALL, 'inbound')
  const outbound = await begin(large, SMALL, 'outbound')
  large.opened(outbound, 'm', outbound.raw)
  assert.deepEqual(large.onComplete(inbound), { keep: true, replaces: [outbound] })
})

test('a host that dials while we still hold its old connection replaces it, whatever the keys', async () => {
  for (const [self, other] of [
    [SMALL, LARGE],
    [LARGE, SMALL]
  ] as const) {
    for (const direction of ['inbound', 'outbound'] as const) {
      const sessions = new Sessions(self)
      const old = await begin(sessions, other, direction)
      sessions.opened(old, 'm', old.raw)
      const fresh = await begin(sessions, other, 'inbound')
      assert.equal(sessions.onAnswer(fresh).keep, true)
      assert.deepEqual(sessions.onComplete(fresh), { keep: true, replaces: [old] })
    }
  }
})

test('a session is forgotten when its connection closes', async () => {
  const sessions = new Sessions(SMALL)
  const session = await begin(sessions, LARGE, 'outbound')
  sessions.opened(session, 'm', session.raw)
  assert.equal(sessions.machineOf(LARGE), 'm')
  session.raw.abort(new Error('gone'))
  assert.equal(sessions.machineOf(LARGE), undefined)
})
