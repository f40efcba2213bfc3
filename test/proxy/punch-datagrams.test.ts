import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type ClientHttp2Session, connect, createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import { ErrorCode, type HostPort, type Logger, silentLogger, systemClock, WarrenError } from '../../src/core/index.ts'
import { type PeerKey, peerKeyOf } from '../../src/identity/index.ts'
import type { Exporter } from '../../src/proxy/aead/index.ts'
import { PacketChannel, PacketPort } from '../../src/proxy/datagram/packet/index.ts'
import { InboundMeetings } from '../../src/proxy/inbound/inbound-meetings.ts'
import { refuseStream } from '../../src/proxy/inbound/responder.ts'
import { abortStream } from '../../src/proxy/legs/index.ts'
import { AskBounds } from '../../src/proxy/punch/ask-bounds.ts'
import { encodePreamble, encodeSeen, encodeSeenAsk, proofOf } from '../../src/proxy/punch/format.ts'
import { DatagramObserver, NO_PUNCHING, OutsidePort, type PunchDeps } from '../../src/proxy/punch/index.ts'
import {
  MAX_MEETINGS_PER_HOST,
  MAX_PUNCH_ASKS_PER_HOST,
  MEET_AFTER_MS,
  PUNCH_RATE
} from '../../src/proxy/punch/limits.ts'
import { DatagramMeeting } from '../../src/proxy/session/datagram-meeting.ts'
import { MEETING_PATH, whereaboutsHeaders, whereaboutsIn } from '../../src/proxy/session/meeting.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'
import { waitFor } from '../harness/wait-for.ts'

const [LEFT, RIGHT, OPEN, DEAD] = Array.from({ length: 4 }, () => peerKeyOf(Uint8Array.from(randomBytes(32)))) as [
  PeerKey,
  PeerKey,
  PeerKey,
  PeerKey
]
const nowMs = (): number => performance.now()
/** No rate recovers, however long a test takes. */
const STOPPED = { ...systemClock, monotonicMs: () => 0 }

/** A UDP data port of this host. */
async function dataPort(t: TestContext): Promise<{ port: PacketPort; end: HostPort }> {
  const port = new PacketPort(silentLogger)
  const free = createSocket('udp4').bind(0, '127.0.0.1')
  await once(free, 'listening')
  const end = { host: '127.0.0.1', port: free.address().port }
  await new Promise<void>(resolve => free.close(() => resolve()))
  await port.bind(end)
  t.after(() => port.close())
  return { port, end }
}

/** A member that tells others from where their datagrams come. */
async function observer(t: TestContext) {
  const { port, end } = await dataPort(t)
  const stopping = new AbortController()
  t.after(() => stopping.abort())
  const { metrics, hits } = recordingMetrics()
  const bounds = new AskBounds(STOPPED, metrics)
  const server = new DatagramObserver({ deps: { peer: OPEN }, bounds, metrics, stopping: stopping.signal })
  port.onOther = server.received
  return { server, end, hits, signal: stopping.signal }
}

function outsideOf(
  t: TestContext,
  port: ConstructorParameters<typeof OutsidePort>[0]['port'],
  deps: Partial<PunchDeps>
) {
  const stopping = new AbortController()
  t.after(() => stopping.abort())
  const all = { ...NO_PUNCHING, peer: LEFT, machineOf: (peer: PeerKey) => (peer === DEAD ? 'dead' : 'open'), ...deps }
  return new OutsidePort({ deps: all, port, clock: systemClock, stopping: stopping.signal })
}

/** A socket that counts what is sent to it. */
async function stranger(
  t: TestContext
): Promise<{ socket: Socket; send: (bytes: Buffer, to: HostPort) => Promise<void>; heard: () => number }> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.after(() => socket.close())
  let heard = 0
  socket.on('message', () => {
    heard += 1
  })
  const send = (bytes: Buffer, to: HostPort): Promise<void> =>
    new Promise((resolve, reject) =>
      socket.send(bytes, to.port, to.host, err => (err === null ? resolve() : reject(err)))
    )
  return { socket, send, heard: () => heard }
}

test('a host learns from where its datagrams come from a member that sees them, once for all of its sessions', async t => {
  const { server, end, signal } = await observer(t)
  const { port, end: own } = await dataPort(t)
  let asks = 0
  const outside = outsideOf(t, port, {
    seen: (member, request) => {
      asks += 1
      assert.equal(member, OPEN)
      return server.asked(LEFT, request, signal)
    },
    observersFor: peer => (peer === RIGHT ? [OPEN] : []),
    dataPortsOf: () => [end]
  })
  // An agent that is not told such addresses, as one of an older version.
  assert.equal(outside.canLearn(DEAD), false)
  assert.equal(outside.canLearn(RIGHT), true)
  const learnt = await Promise.all([1, 2].map(() => outside.learn(RIGHT, undefined, signal)))
  for (const one of learnt) assert.deepEqual(one, { end: own, localPort: own.port })
  assert.equal(asks, 1)
  await outside.learn(RIGHT, undefined, signal)
  assert.equal(asks, 1)
  outside.forget()
  await outside.learn(RIGHT, 4, signal)
  assert.equal(asks, 2)
  await assert.rejects(outside.learn(RIGHT, 6, signal), { message: /no third member/ })
})

test('a host is told its address by another member if the first one is lost meanwhile', async t => {
  const { server, end, signal } = await observer(t)
  const { port, end: own } = await dataPort(t)
  const asked: PeerKey[] = []
  const outside = outsideOf(t, port, {
    seen: (member, request) => {
      asked.push(member)
      return member === OPEN
        ? server.asked(LEFT, request, signal)
        : Promise.reject(new WarrenError(ErrorCode.DestinationUnreachable, 'it is gone'))
    },
    observersFor: () => [DEAD, OPEN],
    // The dead one comes first: it is no member of this room.
    dataPortsOf: member => [member === DEAD ? { host: '10.0.0.1', port: 7461 } : end]
  })
  assert.deepEqual((await outside.learn(RIGHT, undefined, signal)).end, own)
  const alone = outsideOf(t, port, {
    seen: () => Promise.reject(new WarrenError(ErrorCode.DestinationUnreachable, 'it is gone')),
    observersFor: () => [DEAD],
    dataPortsOf: () => [end]
  })
  await assert.rejects(alone.learn(RIGHT, undefined, signal), {
    message: /dead does not see its datagrams: it is gone/
  })
})

test('a proof of another host, of another token or of a connection shows no address, and no datagram is answered', async t => {
  const { server, end, signal } = await observer(t)
  const { send, heard } = await stranger(t)
  const token = randomBytes(32)
  const asked = server.asked(LEFT, encodeSeenAsk(token), signal)
  for (const bytes of [
    encodePreamble(proofOf(token, RIGHT, OPEN, 'udp')),
    encodePreamble(proofOf(token, LEFT, RIGHT, 'udp')),
    encodePreamble(proofOf(randomBytes(32), LEFT, OPEN, 'udp')),
    encodePreamble(proofOf(token, LEFT, OPEN)),
    encodePreamble(proofOf(token, LEFT, OPEN, 'udp')).subarray(1),
    Buffer.concat([encodePreamble(proofOf(token, LEFT, OPEN, 'udp')), Buffer.of(0)]),
    Buffer.alloc(0),
    randomBytes(34)
  ]) {
    await send(bytes, end)
  }
  await assert.rejects(asked, { code: ErrorCode.Timeout })
  assert.equal(heard(), 0)
  for (const bytes of [new Uint8Array(), Buffer.from('nothing'), encodeSeenAsk(randomBytes(31)), randomBytes(300)]) {
    await assert.rejects(server.asked(LEFT, bytes, signal))
  }
})

test('a host that asks and asks from where its datagrams come is refused, and keeps no other from asking', async t => {
  const { server, hits, signal } = await observer(t)
  const ask = (peer: PeerKey, until = signal): Promise<unknown> =>
    server.asked(peer, encodeSeenAsk(randomBytes(32)), until)
  const held = Array.from({ length: MAX_PUNCH_ASKS_PER_HOST }, () => ask(LEFT).catch(() => {}))
  await assert.rejects(ask(LEFT), { code: ErrorCode.LimitExceeded })
  assert.deepEqual(hits, ['proxy_punch_asks_per_host'])
  await assert.rejects(ask(RIGHT), { code: ErrorCode.Timeout })
  await Promise.all(held)
  for (let asked = 0; asked < PUNCH_RATE.burst; asked += 1) await ask(LEFT, AbortSignal.abort()).catch(() => {})
  assert.ok(hits.includes('proxy_punch_rate'))
})

/** Both ends of a session export the same. */
function exporterOf(secret: string): Exporter {
  return (bytes, label, context) =>
    createHmac('sha512', secret).update(label).update('\0').update(context).digest().subarray(0, bytes)
}

/** Both ends of a datagram path, neither of which knows where the other is. */
async function lostPair(t: TestContext, clock = nowMs) {
  const [near, far] = [await dataPort(t), await dataPort(t)]
  const common = { exporter: exporterOf(randomBytes(8).toString('hex')), machine: 'm', nowMs: clock, log: silentLogger }
  const client = PacketChannel.open({ ...common, port: near.port, role: 'client', remotes: [] })
  const server = PacketChannel.open({ ...common, port: far.port, role: 'server', remotes: [] })
  assert.ok(client !== undefined && server !== undefined)
  t.after(() => {
    client.close()
    server.close()
  })
  for (const channel of [client, server]) channel.attach(1, { datagram: () => {}, dropped: () => {} })
  const at = ({ end }: { end: HostPort }) => ({ address: end.host, port: end.port })
  return { client, server, nearAt: at(near), farAt: at(far) }
}

test('the two ends of a session find each other once each is told where the other is', async t => {
  const { client, server, nearAt, farAt } = await lostPair(t)
  client.meet(farAt)
  server.meet(nearAt)
  await waitFor(() => client.isUp && server.isUp, 'the path')
})

test('an end that opened the session follows the other to a port that nobody has told, as its NAT chose another one', async t => {
  const { client, server, nearAt } = await lostPair(t)
  client.meet({ address: '127.0.0.1', port: 9 })
  server.meet(nearAt)
  await waitFor(() => client.isUp && server.isUp, 'the path')
})

test('an end that was told nothing takes no address from a packet, though it is authentic', async t => {
  const { client, server, nearAt } = await lostPair(t)
  server.meet(nearAt)
  await waitFor(() => server.isUp, 'the path of the other end')
  assert.equal(client.isUp, false)
})

test('a path through a NAT that is lost for a moment is found again without a word on the session', async t => {
  let now = 0
  t.mock.timers.enable({ apis: ['setInterval'] })
  const { client, server, nearAt, farAt } = await lostPair(t, () => now)
  client.meet(farAt)
  server.meet(nearAt)
  await waitFor(() => client.isUp && server.isUp, 'the path')
  const pass = (ms: number): void => {
    now += ms
    t.mock.timers.tick(400)
  }
  pass(20_000)
  // No answer is read in between.
  pass(2_000)
  assert.deepEqual([client.isUp, server.isUp], [false, false])
  pass(400)
  await waitFor(() => client.isUp && server.isUp, 'the path again')
})

test('an address from which no packet comes is pinged a few times, and then no more', async t => {
  let now = 0
  const { socket, heard } = await stranger(t)
  t.mock.timers.enable({ apis: ['setInterval'] })
  const { server } = await lostPair(t, () => now)
  const marker = await stranger(t)
  const MARKER = 'all before it has come'
  let before = 0
  const { address, port } = socket.address()
  server.meet({ address, port })
  /** Lets some turns of the look pass, and returns how many pings have come. */
  const pinged = async (turns: number): Promise<number> => {
    for (let passed = 0; passed < turns; passed += 1) {
      now += 400
      t.mock.timers.tick(400)
      await new Promise(resolve => setImmediate(resolve))
    }
    // One socket hears in the order in which it is sent to.
    const marked = new Promise<void>(resolve => {
      const onMessage = (bytes: Buffer): void => {
        if (bytes.toString() !== MARKER) return
        socket.off('message', onMessage)
        resolve()
      }
      socket.on('message', onMessage)
    })
    await marker.send(Buffer.from(MARKER), { host: address, port })
    await marked
    const pings = heard() - before - 1
    before = heard()
    return pings
  }
  assert.ok((await pinged(10)) >= 3)
  await pinged(10)
  assert.equal(await pinged(100), 0)
})

/** A port that is never sent from, seen at an address of somebody's choice. */
const seenAt = (t: TestContext, own: HostPort, observer = '198.51.100.10'): OutsidePort =>
  outsideOf(
    t,
    { localPort: 7_461, canReach: () => true, send: () => true },
    {
      seen: async () => encodeSeen(own),
      observersFor: () => [OPEN],
      dataPortsOf: () => [{ host: observer, port: 7_461 }]
    }
  )

/** A session with an agent that is asked where its datagrams come from; `met` has where it looked for the opener. */
async function session(t: TestContext, outside: OutsidePort | undefined) {
  const stopping = new AbortController()
  const { metrics, hits, counts } = recordingMetrics()
  const met: unknown[] = []
  const channel = { meet: (remote: unknown) => met.push(remote) } as unknown as PacketChannel
  const deps = { clock: STOPPED, directory: { peerOf: () => LEFT } as never, metrics }
  const meetings = new InboundMeetings({ deps, outside, stopping: stopping.signal })
  const server = createServer()
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {})
    meetings.serve(stream, headers, 'left', channel).catch(err => refuseStream(stream, WarrenError.from(err)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client: ClientHttp2Session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.after(() => {
    stopping.abort()
    client.destroy()
    server.close()
  })
  const ask = (end: HostPort) => {
    const stream = client.request({
      ':method': 'POST',
      ':path': MEETING_PATH,
      ...whereaboutsHeaders({ end, localPort: 1 })
    })
    stream.on('error', () => {})
    const answered = once(stream, 'response').then(([headers]) => headers as Record<string, unknown>)
    return { stream, answered }
  }
  return { client, ask, met, hits, counts }
}

test('both ends tell where they are, and the one that is asked sends when the other says so, no earlier', async t => {
  const { ask, met } = await session(t, seenAt(t, { host: '203.0.113.9', port: 40_000 }))
  const { stream, answered } = ask({ host: '203.0.113.7', port: 37_461 })
  assert.deepEqual(whereaboutsIn(await answered), { end: { host: '203.0.113.9', port: 40_000 }, localPort: 7_461 })
  assert.deepEqual(met, [])
  stream.end()
  await waitFor(() => met.length === 1, 'the other end to send')
  assert.deepEqual(met, [{ address: '203.0.113.7', port: 37_461 }])
  const given = ask({ host: '203.0.113.7', port: 37_461 })
  await given.answered
  abortStream(given.stream, 'link')
  await once(given.stream, 'close')
  const after = ask({ host: '203.0.113.8', port: 37_461 })
  await after.answered
  after.stream.end()
  await waitFor(() => met.length === 2, 'the next one')
  assert.deepEqual(met[1], { address: '203.0.113.8', port: 37_461 })
})

test('an agent sends nothing to an address that the host of a NAT cannot have, whoever names it', async t => {
  const { ask, met } = await session(t, seenAt(t, { host: '203.0.113.9', port: 40_000 }))
  for (const end of [
    { host: '127.0.0.1', port: 7_461 },
    { host: '10.0.0.1', port: 7_461 },
    { host: '169.254.169.254', port: 7_461 },
    { host: '224.0.0.1', port: 7_461 },
    { host: '203.0.113.7', port: 53 },
    { host: 'example.org', port: 7_461 },
    { host: '203.0.113.7', port: 0 },
    { host: '2001:db8::7', port: 7_461 }
  ]) {
    const { stream, answered } = ask(end)
    assert.notEqual((await answered)[':status'], 200, end.host)
    stream.end()
  }
  const six = await session(t, seenAt(t, { host: '2001:db8::9', port: 40_000 }, '2001:db8::10'))
  for (const host of ['2001:db8::7%constructor', '2001:db8::7%lo', 'fe80::7%eth0', '::1']) {
    const { stream, answered } = six.ask({ host, port: 7_461 })
    assert.notEqual((await answered)[':status'], 200, host)
    stream.end()
  }
  assert.deepEqual([...met, ...six.met], [])
})

test('a member cannot have this host taken for one of a network in which it is not itself', async t => {
  for (const host of ['10.0.0.7', '192.168.1.1', '2001:db8::9']) {
    const { ask } = await session(t, seenAt(t, { host, port: 40_000 }))
    const { stream, answered } = ask({ host: host.replace(/\d+$/, '8'), port: 7_461 })
    assert.notEqual((await answered)[':status'], 200, host)
    stream.end()
  }
})

test('a host that wants many datagram paths between NATs is refused', async t => {
  const { ask, hits } = await session(t, seenAt(t, { host: '203.0.113.9', port: 40_000 }))
  const end = { host: '203.0.113.7', port: 37_461 }
  const held = Array.from({ length: MAX_MEETINGS_PER_HOST }, () => ask(end))
  for (const { answered } of held) assert.equal((await answered)[':status'], 200)
  assert.equal((await ask(end).answered)[':status'], 429)
  assert.deepEqual(hits, ['proxy_punch_meetings_per_host'])
  for (const { stream } of held) stream.end()
  for (let asked = 0; asked < PUNCH_RATE.burst; asked += 1) {
    const { stream, answered } = ask(end)
    await answered
    stream.end()
  }
  assert.ok(hits.includes('proxy_punch_rate'))
})

/** The opener's side of the same, with a clock that stands. */
async function opener(t: TestContext, client: ClientHttp2Session, outside: OutsidePort) {
  const { metrics, counts } = recordingMetrics()
  const clock = { now: 0 }
  const met: unknown[] = []
  const said: string[] = []
  const log: Logger = { ...silentLogger, info: (_, fields) => said.push(String(fields?.reason)) }
  const meeting = new DatagramMeeting({
    session: client,
    peer: RIGHT,
    machine: 'right',
    outside,
    meet: remote => met.push(remote),
    nowMs: () => clock.now,
    log,
    metrics
  })
  t.after(() => meeting.close())
  /** Nothing answers for so long. */
  const pass = (ms: number): void => {
    meeting.unanswered()
    clock.now += ms
    meeting.unanswered()
  }
  return { meeting, met, said, pass, counts, clock }
}

test('an opener whose packets are not answered looks for the other end where that says it is', async t => {
  const { client, met: farMet } = await session(t, seenAt(t, { host: '203.0.113.9', port: 40_000 }))
  const near = await opener(t, client, seenAt(t, { host: '203.0.113.7', port: 37_461 }))
  near.pass(MEET_AFTER_MS - 1)
  assert.deepEqual(near.met, [])
  near.pass(1)
  await waitFor(() => near.met.length === 1 && farMet.length === 1, 'both ends to look')
  assert.deepEqual(near.met, [{ address: '203.0.113.9', port: 40_000 }])
  assert.deepEqual(farMet, [{ address: '203.0.113.7', port: 37_461 }])
  near.meeting.found()
  await waitFor(() => near.counts.size > 0, 'the outcome')
  assert.equal(near.counts.get('warren_punched_datagrams_total{role="requester",result="ok"}'), 1)
})

test('an opener says once why no packet comes through, and asks again after a while', async t => {
  const { client, met: farMet } = await session(t, seenAt(t, { host: '203.0.113.9', port: 7_461 }))
  const near = await opener(t, client, seenAt(t, { host: '203.0.113.7', port: 33_057 }))
  near.pass(MEET_AFTER_MS)
  await waitFor(() => near.met.length === 1, 'the opener to look')
  for (let turn = 0; turn < 10; turn += 1) near.pass(400)
  assert.equal(near.said.length, 1)
  assert.match(near.said[0] ?? '', /^no packet came through; the NAT of this host changes ports: 7461 became 33057$/)
  const passed = async (turns: number): Promise<void> => {
    for (let turn = 0; turn < turns; turn += 1) {
      near.pass(400)
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  await passed(7)
  assert.equal(farMet.length, 1)
  await passed(1)
  await waitFor(() => farMet.length === 2, 'the next attempt')
  assert.equal(near.said.length, 1)
})

test('an opener leaves the datagrams on the session where the other agent may send none beside it, or names an address of its network', async t => {
  const own = seenAt(t, { host: '203.0.113.7', port: 37_461 })
  const refusing = await session(t, undefined)
  const first = await opener(t, refusing.client, own)
  first.pass(MEET_AFTER_MS)
  await waitFor(() => first.said.length === 1, 'the reason')
  assert.match(first.said[0] ?? '', /sends no datagrams beside this session/)
  const inside = await opener(
    t,
    (await session(t, seenAt(t, { host: '203.0.113.9', port: 40_000 }))).client,
    seenAt(t, { host: '10.0.0.7', port: 7_461 }, '10.0.0.1')
  )
  inside.pass(MEET_AFTER_MS)
  await waitFor(() => inside.said.length === 1, 'the reason')
  assert.match(inside.said[0] ?? '', /names 10\.0\.0\.7 for itself: that address is private/)
  assert.deepEqual([first.met, inside.met], [[], []])
})
