import assert from 'node:assert/strict'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import test from 'node:test'
import { ErrorCode, type HostPort, WarrenError } from '../../src/core/index.ts'
import type { DatagramEvents } from '../../src/proxy/datagram/leg.ts'
import { PortGuard, RECHECK_MS } from '../../src/proxy/datagram/port-guard.ts'
import { UdpLeg } from '../../src/proxy/datagram/udp-leg.ts'
import type { Cut } from '../../src/proxy/flow/cut.ts'
import { guardOf, MAX_SWITCHES } from '../../src/proxy/inbound/port-target.ts'
import { dialTarget, openUdp } from '../../src/proxy/inbound/target.ts'
import type { PortServer } from '../../src/workloads/index.ts'
import { type Scope, scopeOf } from '../harness/index.ts'

const nobody = { listenerOf: () => assert.fail('no unix socket is asked about') }
const forSome = () => AbortSignal.timeout(10_000)

type Answer = bigint | undefined | 'other'

const TAKEN = new WarrenError(ErrorCode.DestinationUnreachable, 'another user has its port')

/** Answers as it is told to; the last answer stays. */
class FakeServer implements PortServer {
  answers: Answer[]
  asked = 0
  /** The ends of a connection that are there: the server's, then our own. */
  ends: readonly [boolean, boolean] = [true, true]
  port: number | undefined
  readonly problem = undefined
  readonly refusal = undefined

  constructor(...answers: Answer[]) {
    this.answers = answers
  }

  host(): string {
    return '127.0.0.1'
  }

  holder(): bigint | undefined {
    this.asked += 1
    const answer = this.answers.length > 1 ? this.answers.shift() : this.answers[0]
    if (answer === 'other') throw TAKEN
    return answer
  }

  meets(_from: HostPort, to: HostPort): boolean {
    this.port ??= to.port
    return this.ends[to.port === this.port ? 0 : 1]
  }

  bypassed(): WarrenError {
    return new WarrenError(ErrorCode.DestinationUnreachable, 'bypassed')
  }

  hidden(): WarrenError {
    return new WarrenError(ErrorCode.DestinationUnreachable, 'hidden')
  }

  onChange(): () => void {
    return () => {}
  }

  look() {
    return { ok: true, text: '', textForOthers: '', waiting: 0 }
  }
}

/** A listener that notes what its connections get. */
async function listener(
  scope: Scope
): Promise<{ server: Server; port: number; sockets: Socket[]; heard: () => string }> {
  const sockets: Socket[] = []
  let heard = ''
  const server = createServer(socket => {
    sockets.push(socket)
    socket
      .on('error', () => {})
      .on('data', chunk => {
        heard += chunk
      })
  }).listen(0, '127.0.0.1')
  scope.defer(() => void server.close())
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port, sockets, heard: () => heard }
}

test('a port is connected to if the same listener has it before and after', async t => {
  const scope = scopeOf(t)
  const { port } = await listener(scope)
  const server = new FakeServer(7n)
  const socket = await dialTarget({ kind: 'tcp', host: '127.0.0.1', port, server }, nobody, forSome())
  socket.destroy()
  assert.equal(server.asked, 2)
})

test('another user’s port is not even connected to', async t => {
  const scope = scopeOf(t)
  const { port, sockets } = await listener(scope)
  const server = new FakeServer('other')
  await assert.rejects(dialTarget({ kind: 'tcp', host: '127.0.0.1', port, server }, nobody, forSome()), TAKEN)
  assert.equal(sockets.length, 0)
})

test('who takes a port between the question and the connection gets no byte', async t => {
  const scope = scopeOf(t)
  for (const [name, answers, reason] of [
    ['another user', [7n, 'other'], /another user/],
    ['another listener, each time', Array.from({ length: 20 }, (_, index) => BigInt(index)), /changes again and again/],
    ['nobody, though something answers', [undefined], /hidden/]
  ] as ReadonlyArray<readonly [string, Answer[], RegExp]>) {
    const { port, sockets, heard } = await listener(scope)
    const server = new FakeServer(...answers)
    const dialled = dialTarget({ kind: 'tcp', host: '127.0.0.1', port, server, proxy: true }, nobody, forSome())
    await assert.rejects(dialled, { code: ErrorCode.DestinationUnreachable, reason }, name)
    assert.ok(server.asked <= 2 * MAX_SWITCHES, name)
    for (const socket of sockets) if (!socket.readableEnded) await once(socket.resume(), 'end')
    assert.equal(heard(), '', name)
  }
})

test('a server that restarts while it is connected to is connected to again', async t => {
  const scope = scopeOf(t)
  const { port } = await listener(scope)
  for (const answers of [
    [7n, 8n],
    [7n, undefined, 8n],
    [undefined, 8n]
  ]) {
    const server = new FakeServer(...answers)
    const socket = await dialTarget({ kind: 'tcp', host: '127.0.0.1', port, server }, nobody, forSome())
    assert.equal(server.answers[0], 8n)
    socket.destroy()
  }
})

test('a connection that does not end at the listener gets no byte, and a reset is told as one', async t => {
  const scope = scopeOf(t)
  for (const [ends, reason, connections] of [
    [[false, true], /^bypassed$/, MAX_SWITCHES],
    [[false, false], /does not answer \(ECONNRESET\)/, 1]
  ] as const) {
    const { port, sockets, heard } = await listener(scope)
    const server = new FakeServer(7n)
    server.ends = ends
    const dialled = dialTarget({ kind: 'tcp', host: '127.0.0.1', port, server, proxy: true }, nobody, forSome())
    await assert.rejects(dialled, { code: ErrorCode.DestinationUnreachable, reason })
    for (const socket of sockets) if (!socket.readableEnded) await once(socket.resume(), 'end')
    assert.ok(sockets.length <= connections)
    assert.equal(heard(), '')
  }
})

test('a port that nobody has and nothing answers is unreachable as ever', async t => {
  const scope = scopeOf(t)
  const { server, port } = await listener(scope)
  server.close()
  await once(server, 'close')
  const dialled = dialTarget(
    { kind: 'tcp', host: '127.0.0.1', port, server: new FakeServer(undefined) },
    nobody,
    forSome()
  )
  await assert.rejects(dialled, { reason: /does not answer \(ECONNREFUSED\)/ })
})

test('the kernel is asked about a flow of datagrams at once, after a while, and after a doubt', () => {
  let now = 1_000
  const server = new FakeServer(7n)
  const guard = new PortGuard(server, { host: '127.0.0.1', port: 1 }, () => now)
  const verdicts = (count: number) => Array.from({ length: count }, () => guard.verdict())
  assert.deepEqual(verdicts(100), Array(100).fill('right'))
  assert.equal(server.asked, 1)
  server.answers = ['other']
  now += RECHECK_MS - 1
  assert.equal(guard.verdict(), 'right')
  now += 1
  assert.equal(guard.verdict(), TAKEN)
  // Back again, in whatever time.
  server.answers = [8n]
  assert.equal(guard.verdict(), 'right')
  server.answers = ['other']
  guard.suspect()
  assert.equal(guard.verdict(), TAKEN)
  // That nobody has it is asked each time: the next may be anybody.
  server.answers = [undefined, undefined, 'other']
  assert.deepEqual(verdicts(3), ['nobody', 'nobody', TAKEN])
})

/** A UDP server, a leg that leads to it under a guard, and what became of both. */
async function guarded(scope: Scope, server: FakeServer) {
  const heard: string[] = []
  const socket = createSocket('udp4')
  let isOpen = true
  socket.once('close', () => {
    isOpen = false
  })
  scope.defer(() => void (isOpen && socket.close()))
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.on('message', payload => heard.push(String(payload)))
  const target = { kind: 'udp', host: '127.0.0.1', port, server } as const
  const ours = await openUdp(target, forSome())
  let now = 0
  const guard = guardOf(target, ours, () => now)
  const leg = new UdpLeg(ours, guard)
  scope.defer(() => leg.close())
  const failed = Promise.withResolvers<Cut>()
  const arrived: string[] = []
  const events: DatagramEvents = {
    datagram: payload => arrived.push(String(payload)),
    dropped: () => {},
    oversized: () => {},
    ended: () => {},
    closed: () => {},
    failed: failed.resolve
  }
  return { leg, events, heard, arrived, failed: failed.promise, socket, ours, pass: (ms: number) => (now += ms) }
}

async function say(from: UdpSocket, text: string, to: UdpSocket): Promise<void> {
  await new Promise<void>(resolve => from.send(text, to.address().port, '127.0.0.1', () => resolve()))
}

test('a flow of datagrams does not go on to who takes the port', async t => {
  const scope = scopeOf(t)
  const server = new FakeServer(7n)
  const { leg, events, heard, failed, socket, pass } = await guarded(scope, server)
  leg.start(events)
  assert.equal(leg.send(Buffer.from('one')), 'sent')
  await once(socket, 'message')
  pass(RECHECK_MS)
  server.answers = ['other']
  assert.equal(leg.send(Buffer.from('two')), 'gone')
  assert.deepEqual(await failed, { kind: 'server', text: TAKEN.reason })
  // Not even if the port is given back meanwhile: whoever uses the flow is to open another.
  server.answers = [7n]
  assert.equal(leg.send(Buffer.from('three')), 'gone')
  leg.close()
  assert.deepEqual(heard, ['one'])
})

test('what a stranger sends from the port of the server is not passed on', async t => {
  const scope = scopeOf(t)
  const server = new FakeServer(7n)
  const { leg, events, arrived, failed, socket, ours, pass } = await guarded(scope, server)
  leg.start(events)
  await say(socket, 'welcome', ours)
  await once(ours, 'message')
  pass(RECHECK_MS)
  server.answers = ['other']
  await say(socket, 'forged', ours)
  assert.equal((await failed).kind, 'server')
  assert.deepEqual(arrived, ['welcome'])
})

test('a flow of datagrams waits for a server that is away, and sends nothing meanwhile', async t => {
  const scope = scopeOf(t)
  const server = new FakeServer(undefined)
  const { leg, events, heard, socket } = await guarded(scope, server)
  leg.start(events)
  assert.equal(leg.send(Buffer.from('lost')), 'gone')
  server.answers = [7n]
  assert.equal(leg.send(Buffer.from('found')), 'sent')
  await once(socket, 'message')
  assert.deepEqual(heard, ['found'])
})

test('a refused datagram has the kernel asked before the next one', async t => {
  const scope = scopeOf(t)
  const server = new FakeServer(7n)
  const { leg, events, socket, ours } = await guarded(scope, server)
  leg.start(events)
  const closed = once(socket, 'close')
  const { port } = socket.address()
  socket.close()
  await closed
  let refusals = 0
  ours.on('error', () => {
    refusals += 1
  })
  server.answers = [undefined]
  // No time passes. Whichever call learns of the refusal, by then the port may be anybody's.
  let outcome = leg.send(Buffer.from('into the void'))
  for (let turn = 0; outcome === 'sent' && turn < 1_000; turn += 1) {
    await new Promise(resolve => setImmediate(resolve))
    outcome = leg.send(Buffer.from('again'))
  }
  assert.equal(outcome, 'gone', `port ${port}, ${refusals} errors`)
})

test('a port of datagrams that is another user’s already is refused when a flow is opened', async t => {
  const scope = scopeOf(t)
  await assert.rejects(guarded(scope, new FakeServer('other')), TAKEN)
})
