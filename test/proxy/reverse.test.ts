import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { HOST_VIEW } from '../../src/attest/view.ts'
import { ErrorCode, systemClock, WarrenError } from '../../src/core/index.ts'
import type { PeerKey } from '../../src/identity/index.ts'
import { DIRECT } from '../../src/proxy/flow/flow.ts'
import { encodePreamble, PREAMBLE_BYTES, proofOf, TOKEN_BYTES } from '../../src/proxy/reverse/format.ts'
import {
  MAX_REVERSE_DIALS_PER_HOST,
  MAX_REVERSE_WAITING,
  MAX_REVERSE_WAITING_PER_USER,
  MAX_TOKENS,
  REVERSE_RATE
} from '../../src/proxy/reverse/limits.ts'
import { ReverseRequester } from '../../src/proxy/reverse/requester.ts'
import { settled, waitFor } from '../harness/index.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'
import { DEAD, dialsBack } from './support/carriers.ts'
import { servedFor, shown } from './support/served.ts'
import { converse, dial, endOf, readAll } from './support/sockets.ts'
import { type Host, type HostOptions, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const [REQUESTER, DIALLER] = ['requester' as PeerKey, 'dialler' as PeerKey]

/** Two hosts, of which the second cannot be dialled by the first, and dials it when asked. */
async function pair(world: World, options: HostOptions = {}) {
  const near = await world.host('alpha', { carrier: 'auto', ...options })
  const far = await world.host('beta', { carrier: 'auto' })
  far.dataAddresses = DEAD
  dialsBack(far, near)
  const { source, served, open } = await servedFor(near, far, NAME)
  return { near, far, source, served, open }
}

const asks = (count: number): Buffer => randomBytes(count * TOKEN_BYTES)
const counted = ({ counts }: Host, role: string, result: string): number =>
  counts.get(`warren_reverse_connections_total{role="${role}",result="${result}"}`) ?? 0

async function connectTo({ proxy }: Host): Promise<Socket> {
  const socket = connect(proxy.dataAddress())
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** A port that takes each connection once its preamble has been read. */
async function listener(world: World, onArrival: (socket: Socket) => void) {
  const server = createServer(socket => {
    socket.on('error', () => {})
    world.defer(() => void socket.destroy())
    const take = (): void => {
      if (socket.read(PREAMBLE_BYTES) === null) return
      socket.off('readable', take)
      onArrival(socket)
    }
    socket.on('readable', take)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  world.defer(() => void server.close())
  const address = server.address()
  return { host: '127.0.0.1', port: typeof address === 'object' ? (address?.port ?? 0) : 0 }
}

/** A port at which everything that is sent is kept, and nothing is answered. */
async function victim(world: World) {
  const got: Buffer[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server: Server = createServer(socket => {
    connections += 1
    sockets.add(socket)
    socket.on('error', () => {}).once('close', () => sockets.delete(socket))
    socket.on('data', (chunk: Buffer) => got.push(chunk))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  world.defer(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  return { end: { host: '127.0.0.1', port }, got, sockets, connections: () => connections }
}

describe('a host that cannot be dialled', () => {
  it('dials the one that asks; flows take that connection, fast-path connections are asked for too, and both ends say so', async () => {
    await using world = await World.create()
    const { near, far, open } = await pair(world)
    const { client, server } = await open()
    assert.deepEqual([shown(near), shown(far)], ['reverse', 'reverse'])
    await converse(client, server, () => [near, far].every(host => shown(host) === 'reverse fastpath'))
    client.end('the end')
    assert.equal((await readAll(server)).toString(), 'the end')
    server.end('of all')
    assert.equal((await readAll(client)).toString(), 'of all')
    assert.equal(counted(near, 'requester', 'ok'), 2)
    await waitFor(() => counted(far, 'dialler', 'ok') === 2, 'both connections to be counted')
    assert.equal(DIRECT, 'direct')
  })

  it('is reached over the mesh if its version dials nobody back, and is not asked for each connection', async () => {
    await using world = await World.create()
    const { near, open } = await pair(world)
    let asked = 0
    near.askBack = () => {
      asked += 1
      return Promise.reject(new WarrenError(ErrorCode.Unsupported, 'this host does not speak that protocol'))
    }
    for (let at = 0; at < 5; at += 1) {
      await open()
      assert.equal(shown(near), 'mesh')
    }
    assert.equal(asked, 1)
  })

  it('is reached over the mesh if it cannot dial the other one either', async () => {
    await using world = await World.create()
    const { near, far, open } = await pair(world)
    far.dataPortsOf = () => [{ host: '127.0.0.1', port: 1 }]
    await open()
    assert.equal(shown(near), 'mesh')
    far.dataPortsOf = () => []
    near.proxy.pathAppeared('beta')
    await open()
    assert.equal(shown(near), 'mesh')
  })

  it('is asked by few requests, however many connections are wanted at once', async () => {
    await using world = await World.create()
    const { near, far, source, open } = await pair(world, { upgradeThresholds: { flowsPerSecond: 0 } })
    const { askBack } = near
    let [atOnce, most] = [0, 0]
    near.askBack = async (peer, request) => {
      atOnce += 1
      most = Math.max(most, atOnce)
      await new Promise(resolve => setImmediate(resolve))
      atOnce -= 1
      return await askBack(peer, request)
    }
    await open()
    const { path } = await near.connect(source, NAME)
    const clients = await Promise.all(Array.from({ length: 40 }, () => dial(path)))
    for (const client of clients) client.write('x')
    await waitFor(() => counted(near, 'requester', 'ok') > 20, 'the pool')
    assert.equal(most, 1)
    for (const client of clients) client.destroy()
    assert.deepEqual([near.hits, far.hits], [[], []])
  })

  it('has its flows cut at once by a change of policy, and by the eviction of either host', async () => {
    for (const harm of ['policy', 'source', 'destination'] as const) {
      await using world = await World.create()
      const { near, far, open } = await pair(world)
      const { client, server } = await open()
      await converse(client, server, () => shown(near) === 'reverse fastpath')
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

describe('a member that asks for connections', () => {
  it('cannot say where to, nor what is sent there, and learns nothing of how it went', async () => {
    await using world = await World.create()
    const { near, far } = await pair(world)
    const target = await victim(world)
    far.dataPortsOf = () => [target.end]
    const request = asks(1)
    assert.equal(far.proxy.connectBack(near.node.peer, request), 1)
    await waitFor(() => Buffer.concat(target.got).length >= PREAMBLE_BYTES, 'the preamble')
    const [requester, dialler] = [near.node.peer, far.node.peer]
    assert.deepEqual(Buffer.concat(target.got), encodePreamble(proofOf({ token: request, requester, dialler })))
    assert.equal(Buffer.concat(target.got).includes(request), false)
    const [socket] = target.sockets
    assert.ok(socket)
    await settled(once(socket, 'close'), 'the end of a connection that nobody uses')
    assert.equal(target.connections(), 1)
  })

  it('has nothing dialled while its data port did not answer a moment ago', async () => {
    await using world = await World.create()
    const { near, far } = await pair(world)
    far.dataPortsOf = () => [{ host: '127.0.0.1', port: 1 }]
    const ask = () => far.proxy.connectBack(near.node.peer, asks(1))
    assert.equal(ask(), 1)
    await waitFor(() => counted(far, 'dialler', 'failed') === 1, 'the failure')
    assert.throws(ask, { code: ErrorCode.DestinationUnreachable })
    far.proxy.pathAppeared('alpha')
    assert.equal(ask(), 1)
  })

  it('gets no connection by a request that is malformed', async () => {
    await using world = await World.create()
    const { near, far } = await pair(world)
    for (const bytes of [0, 1, TOKEN_BYTES + 1, (MAX_TOKENS + 1) * TOKEN_BYTES]) {
      assert.throws(() => far.proxy.connectBack(near.node.peer, randomBytes(bytes)), {
        code: ErrorCode.MessageMalformed
      })
    }
  })

  it('may ask on one which host this is, and neither join nor renew there', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    let joins = 0
    const far = await world.host('beta', {
      join: async socket => {
        joins += 1
        socket.end()
      }
    })
    const answers: Array<Promise<boolean>> = []
    const requester = await listener(world, socket => {
      const ALPNProtocols = [['warren-host/1', 'warren-join/1', 'warren-renew/1'][answers.length] ?? '']
      const over = connectTls({ socket, ALPNProtocols, ecdhCurve: 'X25519MLKEM768', rejectUnauthorized: false })
      over.on('error', () => {})
      // An agent that serves a joiner or a renewal ends in order as well; what it does then is counted.
      answers.push(once(over, 'secureConnect').then(() => over.alpnProtocol === ALPNProtocols[0]))
    })
    far.dataPortsOf = () => [requester]
    for (let at = 1; at <= 3; at += 1) {
      far.proxy.connectBack(near.node.peer, asks(1))
      await waitFor(() => answers.length === at, 'a connection')
    }
    assert.deepEqual(await settled(Promise.all(answers), 'the handshakes'), [true, true, true])
    const refused = () => far.lines.filter(({ message }) => message === 'unauthenticated peer refused at the data port')
    await waitFor(() => far.counts.get('warren_handshakes_total{role="server",result="refused"}') === 2, 'two refusals')
    assert.ok(refused().length > 0)
    assert.equal(joins, 0)
  })

  it('has so many made at a time and no more, and keeps no other member from its own', async () => {
    await using world = await World.create()
    const { near, far } = await pair(world)
    const target = await victim(world)
    far.dataPortsOf = () => [target.end]
    const all = MAX_REVERSE_DIALS_PER_HOST / MAX_TOKENS
    for (let at = 0; at < all; at += 1) {
      assert.equal(far.proxy.connectBack(near.node.peer, asks(MAX_TOKENS)), MAX_TOKENS)
    }
    assert.throws(() => far.proxy.connectBack(near.node.peer, asks(MAX_TOKENS)), { code: ErrorCode.LimitExceeded })
    assert.deepEqual(far.hits, ['proxy_reverse_dials_per_host'])
    assert.equal(far.proxy.connectBack('another' as PeerKey, asks(1)), 1)
  })

  it('has so many made in a second, whatever becomes of them', async () => {
    await using world = await World.create()
    let nowMs = 0
    const clock = { ...systemClock, monotonicMs: () => nowMs }
    const near = await world.host('alpha')
    const far = await world.host('beta', { clock })
    const ask = () => far.proxy.connectBack(near.node.peer, asks(1))
    // Nobody waits for them, so they end at once.
    dialsBack(far, near)
    for (let at = 0; at < REVERSE_RATE.burst; at += 1) {
      far.proxy.pathAppeared('alpha')
      ask()
      await waitFor(() => counted(far, 'dialler', 'failed') > at, 'its end')
    }
    far.proxy.pathAppeared('alpha')
    assert.throws(ask, { code: ErrorCode.LimitExceeded })
    assert.deepEqual(far.hits, ['proxy_reverse_rate'])
    nowMs += 1_000
    assert.equal(far.proxy.connectBack(near.node.peer, asks(MAX_TOKENS)), MAX_TOKENS)
  })
})

describe('the users of a host', () => {
  it('wait for so many connections each, and one who fills his share keeps no other from his own', async () => {
    const { metrics, hits } = recordingMetrics()
    const users = new Map([
      ['mine', 1000],
      ['also mine', 1000],
      ['of another', 1001],
      ['of a third', 1002]
    ])
    const requester = new ReverseRequester({
      deps: { peer: REQUESTER, ask: async (_peer, tokens) => tokens.length / TOKEN_BYTES },
      userOf: id => ({ uid: users.get(id) ?? 0, view: HOST_VIEW }),
      metrics,
      stopping: new AbortController().signal
    })
    const giveUp = new AbortController()
    const waiting: Array<Promise<unknown>> = []
    const wait = (sourceId: string, count: number): void => {
      for (let at = 0; at < count; at += 1)
        waiting.push(assert.rejects(requester.connect(DIALLER, sourceId, giveUp.signal), { name: 'AbortError' }))
    }
    const refused = (sourceId: string, reason: RegExp) =>
      assert.rejects(requester.connect(DIALLER, sourceId, giveUp.signal), { code: ErrorCode.LimitExceeded, reason })
    wait('mine', MAX_REVERSE_WAITING_PER_USER / 2)
    wait('also mine', MAX_REVERSE_WAITING_PER_USER / 2)
    await refused('mine', /for one user/)
    wait('of another', MAX_REVERSE_WAITING - MAX_REVERSE_WAITING_PER_USER)
    await refused('of a third', /connections asked for/)
    giveUp.abort()
    await Promise.all(waiting)
    assert.deepEqual(hits, ['proxy_reverse_waiting_per_user', 'proxy_reverse_waiting'])
    // What is given up leaves its place.
    const later = new AbortController()
    const again = assert.rejects(requester.connect(DIALLER, 'mine', later.signal), { name: 'AbortError' })
    later.abort()
    await again
  })
})

describe('a connection that arrives', () => {
  it('with a guessed token, or with a part of a preamble and no more, is closed without an answer', async () => {
    await using world = await World.create()
    const { near, open } = await pair(world)
    const stranger = await connectTo(near)
    stranger.write(encodePreamble(randomBytes(32)))
    assert.equal((await settled(readAll(stranger), 'its end')).length, 0)
    assert.equal(counted(near, 'requester', 'unknown'), 1)
    const silent = await connectTo(near)
    silent.write(encodePreamble(randomBytes(32)).subarray(0, PREAMBLE_BYTES - 1))
    assert.equal((await settled(readAll(silent), 'its end')).length, 0)
    await open()
    assert.equal(shown(near), 'reverse')
  })

  it('with a token that was used, or is given up, is closed without an answer', async () => {
    await using world = await World.create()
    const { near, far, open } = await pair(world)
    const tokens: Buffer[] = []
    const { askBack } = near
    near.askBack = (peer, request) => {
      tokens.push(Buffer.from(request))
      return askBack(peer, request)
    }
    await open()
    near.askBack = async (_peer, request) => {
      tokens.push(Buffer.from(request))
      throw new Error('it was not asked')
    }
    near.renew([...world.registrations.values()].find(one => one.machine === 'alpha')?.id ?? '')
    await open()
    const [requester, dialler] = [near.node.peer, far.node.peer]
    await waitFor(() => tokens.length > 1, 'the second question')
    for (const token of tokens) {
      const repeated = await connectTo(near)
      repeated.write(encodePreamble(proofOf({ token, requester, dialler })))
      assert.equal((await settled(readAll(repeated), 'its end')).length, 0)
    }
    assert.equal(counted(near, 'requester', 'unknown'), tokens.length)
  })

  for (const [what, then] of [
    [
      'shows another agent',
      (socket: Socket, third: Host) => {
        const other = connect(third.proxy.dataAddress())
        other.on('error', () => socket.destroy())
        socket.on('error', () => other.destroy())
        socket.pipe(other).pipe(socket)
      }
    ],
    ['says nothing', () => {}]
  ] as const) {
    it(`with the right token, and ${what}, is nobody: the flow takes the next path`, async () => {
      await using world = await World.create()
      const { near, far, open } = await pair(world)
      const third = await world.host('gamma')
      near.askBack = async (_peer, token) => {
        const socket = await connectTo(near)
        world.defer(() => void socket.destroy())
        socket.write(encodePreamble(proofOf({ token, requester: near.node.peer, dialler: far.node.peer })))
        then(socket, third)
        return 1
      }
      await open()
      assert.equal(shown(near), 'mesh')
      assert.equal(counted(near, 'requester', 'ok'), 1)
    })
  }

  it('is for one question: that of these two agents, with this token', () => {
    const token = randomBytes(TOKEN_BYTES)
    const proofs = [
      proofOf({ token, requester: REQUESTER, dialler: DIALLER }),
      proofOf({ token, requester: DIALLER, dialler: REQUESTER }),
      proofOf({ token, requester: REQUESTER, dialler: 'other' as PeerKey }),
      proofOf({ token: randomBytes(TOKEN_BYTES), requester: REQUESTER, dialler: DIALLER })
    ].map(proof => proof.toString('hex'))
    assert.equal(new Set(proofs).size, proofs.length)
  })
})
