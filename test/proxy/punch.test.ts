import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { HOST_VIEW } from '../../src/attest/index.ts'
import { ErrorCode, type Logger, systemClock } from '../../src/core/index.ts'
import { type PeerKey, peerKeyOf } from '../../src/identity/index.ts'
import { whyNotPunched } from '../../src/proxy/punch/candidates.ts'
import { connectBoth } from '../../src/proxy/punch/connect.ts'
import type { PunchDeps } from '../../src/proxy/punch/deps.ts'
import {
  decodeAnswer,
  decodeInvitation,
  encodeAnswer,
  encodeAsk,
  encodeInvitation,
  encodePreamble,
  proofOf
} from '../../src/proxy/punch/format.ts'
import { PunchInvited, PunchRequester, Rendezvous } from '../../src/proxy/punch/index.ts'
import {
  MAX_PUNCH_ASKS_PER_HOST,
  MAX_PUNCH_INVITES_PER_HOST,
  MAX_PUNCH_WAITING_PER_USER,
  PUNCH_RATE
} from '../../src/proxy/punch/limits.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'

const silent: Logger = { error() {}, warn() {}, info() {}, debug() {}, child: () => silent }
const [LEFT, RIGHT, OPEN, OTHER] = Array.from({ length: 4 }, () => peerKeyOf(Uint8Array.from(randomBytes(32)))) as [
  PeerKey,
  PeerKey,
  PeerKey,
  PeerKey
]
const never = (): Promise<never> => new Promise(() => {})

/** A member that arranges connections, with a data port; `invitations` has what it sends to the other host. */
async function rendezvous(t: TestContext, onInvite: (member: PeerKey, request: Uint8Array) => void = () => {}) {
  const stopping = new AbortController()
  const { metrics, hits } = recordingMetrics(silent)
  const invite: PunchDeps['invite'] = async (member, request) => onInvite(member, request)
  const deps = { peer: OPEN, invite }
  const server = new Rendezvous({ deps, clock: systemClock, metrics, stopping: stopping.signal })
  const place = { heard() {}, release() {}, onLoss() {} }
  const port = createServer(socket =>
    server.accept(
      socket.on('error', () => {}),
      place
    )
  ).listen(0, '127.0.0.1')
  await once(port, 'listening')
  const sockets: Socket[] = []
  t.after(() => {
    stopping.abort()
    for (const socket of sockets) socket.destroy()
    port.close()
  })
  /** Connects to the data port as `peer` and returns the token of its proof, and its port. */
  const show = async (peer: PeerKey): Promise<{ token: Buffer; localPort: number }> => {
    const token = randomBytes(32)
    const socket = connect((port.address() as AddressInfo).port, '127.0.0.1')
    sockets.push(socket.on('error', () => {}))
    await once(socket, 'connect')
    socket.write(encodePreamble(proofOf(token, peer, OPEN)))
    return { token, localPort: socket.localPort ?? 0 }
  }
  const ask = (from: PeerKey, what: Parameters<typeof encodeAsk>[0]): Promise<Uint8Array> =>
    server.asked(from, encodeAsk(what), stopping.signal)
  return { server, ask, show, hits, stopping }
}

test('an end that a member names is connected to only where the host of a NAT can be', () => {
  const why = (end: string, port = 40_000, member = '198.51.100.10') => whyNotPunched({ host: end, port }, member)
  for (const [end, member] of [
    ['203.0.113.7', '198.51.100.10'],
    ['2001:db8::7', '2001:db8:1::1'],
    // In the network of the member itself.
    ['192.168.3.7', '192.168.200.1'],
    ['fd00:1:2::7', 'fd00:1:2::1']
  ] as const) {
    assert.equal(why(end, 40_000, member), undefined, end)
  }
  for (const [end, member] of [
    ['127.0.0.1', '198.51.100.10'],
    ['0.0.0.0', '198.51.100.10'],
    ['169.254.169.254', '198.51.100.10'],
    ['224.0.0.1', '198.51.100.10'],
    ['255.255.255.255', '198.51.100.10'],
    ['10.0.0.7', '198.51.100.10'],
    ['192.168.3.7', '198.51.100.10'],
    ['172.16.0.7', '198.51.100.10'],
    ['100.64.0.7', '198.51.100.10'],
    ['10.2.0.7', '10.1.0.1'],
    ['::1', '2001:db8::1'],
    ['::', '2001:db8::1'],
    ['fe80::7', '2001:db8::1'],
    ['ff02::1', '2001:db8::1'],
    ['fd00:1:2::7', '2001:db8::1'],
    ['::ffff:203.0.113.7', '2001:db8::1'],
    ['203.0.113.7', '2001:db8::1'],
    ['example.org', '198.51.100.10']
  ] as const) {
    assert.notEqual(why(end, 40_000, member), undefined, end)
  }
  for (const port of [22, 80, 443, 1_023]) assert.match(why('203.0.113.7', port) ?? '', /well-known/)
})

test('both hosts learn where the other comes from, from connections of their own and from nothing that they say', async t => {
  const invitations: Array<readonly [PeerKey, Uint8Array]> = []
  const invited = Promise.withResolvers<void>()
  const { ask, show } = await rendezvous(t, (member, request) => {
    invitations.push([member, request])
    invited.resolve()
  })
  const left = await show(LEFT)
  // The port that a host has bound is its word, and is used for people only.
  const first = ask(LEFT, { peer: RIGHT, token: left.token, localPort: 7, attempt: undefined })
  await invited.promise
  const [[to, request] = []] = invitations
  assert.ok(to === RIGHT && request !== undefined)
  const { requester, attempt } = decodeInvitation(request)
  assert.equal(requester, LEFT)
  const right = await show(RIGHT)
  const second = ask(RIGHT, { peer: LEFT, token: right.token, localPort: 8, attempt })
  const ends = {
    left: { host: '127.0.0.1', port: left.localPort },
    right: { host: '127.0.0.1', port: right.localPort }
  }
  assert.deepEqual(decodeAnswer(await first), { own: ends.left, other: ends.right, otherLocalPort: 8 })
  assert.deepEqual(decodeAnswer(await second), { own: ends.right, other: ends.left, otherLocalPort: 7 })
})

test('an invitation is followed by the invited host alone, and once', async t => {
  const invited = Promise.withResolvers<Uint8Array>()
  const { ask, show } = await rendezvous(t, (_, request) => invited.resolve(request))
  const left = await show(LEFT)
  const first = ask(LEFT, { peer: RIGHT, token: left.token, localPort: 7, attempt: undefined })
  const { attempt } = decodeInvitation(await invited.promise)
  const follow = async (peer: PeerKey, requester: PeerKey, name = attempt): Promise<Uint8Array> =>
    ask(peer, { peer: requester, token: (await show(peer)).token, localPort: 8, attempt: name })
  await assert.rejects(follow(OTHER, LEFT), { code: ErrorCode.NotFound })
  await assert.rejects(follow(RIGHT, OTHER), { code: ErrorCode.NotFound })
  await assert.rejects(follow(RIGHT, LEFT, '00'.repeat(16)), { code: ErrorCode.NotFound })
  await follow(RIGHT, LEFT)
  await first
  await assert.rejects(follow(RIGHT, LEFT), { code: ErrorCode.NotFound })
})

test('a proof of another host, or of none, shows no address', async t => {
  const { ask, show } = await rendezvous(t)
  const { token } = await show(OTHER)
  await assert.rejects(ask(LEFT, { peer: RIGHT, token, localPort: 7, attempt: undefined }), { code: ErrorCode.Timeout })
})

test('a host that asks and asks is refused, and keeps no other from asking', async t => {
  const { server, ask, hits, stopping } = await rendezvous(t)
  const question = { peer: RIGHT, token: randomBytes(32), localPort: 7, attempt: undefined }
  const held = Array.from({ length: MAX_PUNCH_ASKS_PER_HOST }, () => ask(LEFT, question).catch(() => {}))
  await assert.rejects(ask(LEFT, question), { code: ErrorCode.LimitExceeded })
  assert.deepEqual(hits, ['proxy_punch_asks_per_host'])
  const others = ask(OTHER, question)
  await assert.rejects(others, { code: ErrorCode.Timeout })
  await Promise.all(held)
  const over = AbortSignal.abort()
  for (let asked = 0; asked < PUNCH_RATE.burst; asked += 1)
    await server.asked(LEFT, encodeAsk(question), over).catch(() => {})
  assert.ok(hits.includes('proxy_punch_rate'))
  for (const bytes of [new Uint8Array(), Buffer.from('nothing'), randomBytes(300)]) {
    await assert.rejects(server.asked(RIGHT, bytes, stopping.signal), (err: unknown) => {
      assert.ok(err instanceof Error && 'code' in err)
      assert.ok(err.code === ErrorCode.MessageMalformed || err.code === ErrorCode.MessageTooLarge)
      return true
    })
  }
})

test('so many invitations of one member are followed at a time, and an invitation that leads nowhere is forgotten', async t => {
  const stopping = new AbortController()
  t.after(() => stopping.abort())
  const { metrics, hits } = recordingMetrics(silent)
  const asks: PeerKey[] = []
  const enough = Promise.withResolvers<void>()
  const port = createServer(socket => socket.on('error', () => {}).resume()).listen(0, '127.0.0.1')
  t.after(() => port.close())
  await once(port, 'listening')
  const deps: PunchDeps = {
    peer: RIGHT,
    ask: (member, _request, signal) => {
      if (asks.push(member) === MAX_PUNCH_INVITES_PER_HOST) enough.resolve()
      // Within this host nobody may be connected to.
      const answer = {
        own: { host: '127.0.0.1', port: 1 },
        other: { host: '127.0.0.1', port: 5_000 },
        otherLocalPort: 1
      }
      return member === OPEN
        ? new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        : Promise.resolve(encodeAnswer(answer))
    },
    invite: never,
    seen: never,
    rendezvousFor: () => [],
    observersFor: () => [],
    dataPortsOf: () => [{ host: '127.0.0.1', port: (port.address() as AddressInfo).port }],
    machineOf: peer => peer
  }
  const served: unknown[] = []
  const told = Promise.withResolvers<unknown>()
  const log: Logger = { ...silent, debug: (_, fields) => told.resolve(fields?.err) }
  const invited = new PunchInvited({
    deps,
    serve: connection => served.push(connection),
    clock: systemClock,
    log,
    metrics,
    stopping: stopping.signal
  })
  const invitation = encodeInvitation({ requester: LEFT, attempt: '11'.repeat(16) })
  for (let at = 0; at < MAX_PUNCH_INVITES_PER_HOST; at += 1) invited.invited(OPEN, invitation)
  assert.throws(() => invited.invited(OPEN, invitation), { code: ErrorCode.LimitExceeded })
  assert.deepEqual(hits, ['proxy_punch_invites_per_host'])
  await enough.promise
  invited.invited(OTHER, invitation)
  assert.match(String(await told.promise), /names 127\.0\.0\.1 for the other host: that is no address of another host/)
  assert.deepEqual(served, [])
  assert.throws(() => invited.invited(OTHER, Buffer.from('nothing')), { code: ErrorCode.MessageMalformed })
})

test('a user who has many connections arranged is refused, and keeps no other user from his', async () => {
  const { metrics, hits } = recordingMetrics(silent)
  const deps: PunchDeps = {
    peer: LEFT,
    ask: never,
    invite: never,
    seen: never,
    rendezvousFor: () => [],
    observersFor: () => [],
    dataPortsOf: () => [],
    machineOf: peer => peer
  }
  const users: Record<string, number> = { one: 1_001, two: 1_002 }
  const requester = new PunchRequester({
    deps: { ...deps, rendezvousFor: () => [OPEN], dataPortsOf: () => [] },
    userOf: id => ({ uid: users[id] ?? 0, view: HOST_VIEW }),
    metrics
  })
  const idle = new PunchRequester({ deps, metrics })
  assert.equal(requester.canReach(RIGHT), true)
  assert.equal(idle.canReach(RIGHT), false)
  const end = new AbortController()
  const asked = Array.from({ length: MAX_PUNCH_WAITING_PER_USER + 1 }, () =>
    requester.connect(RIGHT, 'one', end.signal)
  )
  const results = Promise.allSettled([...asked, requester.connect(RIGHT, 'two', end.signal)])
  assert.deepEqual(hits, ['proxy_punch_waiting_per_user'])
  const reasons = (await results).map(result => (result.status === 'rejected' ? String(result.reason) : ''))
  assert.match(reasons.at(-2) ?? '', /LIMIT_EXCEEDED/)
  assert.match(reasons.at(-1) ?? '', /DESTINATION_UNREACHABLE.* cannot arrange it: its data port is not known/)
})

test('an end that refuses is tried some times, and then said to refuse', async () => {
  const unused = createServer().listen(0, '127.0.0.1')
  await once(unused, 'listening')
  const { port } = unused.address() as AddressInfo
  unused.close()
  await once(unused, 'close')
  await assert.rejects(
    connectBoth({ host: '127.0.0.1', port }, { localAddress: '0.0.0.0', localPort: 0 }, AbortSignal.timeout(30_000)),
    /no connection came about/
  )
})
