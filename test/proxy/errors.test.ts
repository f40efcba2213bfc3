import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { describe, it } from 'node:test'
import { parsePattern } from '../../src/identity/index.ts'
import { decode, proxyPb, readFrame } from '../../src/wire/index.ts'
import { Accepted, dial, endOf, readAll, readBytes } from './support/sockets.ts'
import { UID, VIEW, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const code = (expected: string) => ({ name: 'WarrenError', code: expected })
const signal = AbortSignal.timeout(20_000)

for (const where of ['another host', 'this host'] as const) {
  describe(`connecting to ${where}`, () => {
    const setUp = async () => {
      const world = await World.create()
      const near = await world.host('alpha')
      const far = where === 'this host' ? near : await world.host('beta')
      return { world, near, far, source: near.register('dev.test.client.default') }
    }

    it('answers DESTINATION_NOT_FOUND when nothing matches', async () => {
      const { world, near, source } = await setUp()
      await using _ = world
      await assert.rejects(near.connect(source, NAME), code('DESTINATION_NOT_FOUND'))
    })

    it('answers INVALID_SOURCE when the source is not registered', async () => {
      const { world, near, far, source } = await setUp()
      await using _ = world
      await far.serve(NAME, () => {})
      near.deregister(source.id)
      await assert.rejects(near.connect(source, NAME), code('INVALID_SOURCE'))
    })

    it('answers UNAUTHORIZED with the reason of the policy', async () => {
      const { world, near, far, source } = await setUp()
      await using _ = world
      await far.serve(NAME, () => {})
      world.allows = () => false
      await assert.rejects(near.connect(source, NAME), /UNAUTHORIZED: no rule and no whitelist/)
    })

    it('answers DESTINATION_UNREACHABLE when the own socket of the destination does not answer', async () => {
      const { world, near, far, source } = await setUp()
      await using _ = world
      const served = await far.serve(NAME, () => {})
      served.server.close()
      await assert.rejects(near.connect(source, NAME), code('DESTINATION_UNREACHABLE'))
    })

    it('answers DESTINATION_UNREACHABLE when another user serves the socket', async () => {
      const { world, near, far, source } = await setUp()
      await using _ = world
      await far.serve(NAME, () => {}, { uid: UID + 1 })
      await assert.rejects(near.connect(source, NAME), /DESTINATION_UNREACHABLE: .*another user/)
    })

    it('answers DESTINATION_UNREACHABLE when every instance is failing or draining', async () => {
      const { world, near, far, source } = await setUp()
      await using _ = world
      const served = await far.serve(NAME, () => {})
      served.health = 'failing'
      await assert.rejects(near.connect(source, NAME), code('DESTINATION_UNREACHABLE'))
    })

    it('says in the hello frame why a later connection failed', async () => {
      const { world, near, far, source } = await setUp()
      await using _ = world
      await far.serve(NAME, () => {})
      const { path } = await near.connect(source, NAME, true)
      world.allows = () => false
      const client = await dial(path)
      const hello = decode(proxyPb.FlowHelloSchema, await readFrame(client, 16_384, signal), 16_384)
      assert.equal(hello.error?.code, 'UNAUTHORIZED')
      assert.equal((await endOf(client)).end, 'cut')
    })

    it('cuts a later connection that failed when no hello was asked', async () => {
      const { world, near, far, source } = await setUp()
      await using _ = world
      await far.serve(NAME, () => {})
      const { path } = await near.connect(source, NAME)
      world.allows = () => false
      assert.deepEqual(await endOf(await dial(path)), { bytes: 0, end: 'cut' })
    })

    it('tells both workloads in the hello frame who the other is', async () => {
      const { world, near, far, source } = await setUp()
      await using _ = world
      const accepted = new Accepted()
      await far.serve(NAME, accepted.push, { hello: true })
      const { path, spiffeId } = await near.connect(source, NAME, true)
      const client = await dial(path)
      const server = await accepted.next()
      const there = decode(proxyPb.FlowHelloSchema, await readFrame(server, 16_384, signal), 16_384)
      const here = decode(proxyPb.FlowHelloSchema, await readFrame(client, 16_384, signal), 16_384)
      assert.equal(there.peerSpiffeId, 'spiffe://test.example/dev/test/client/default/alpha')
      assert.equal(here.peerSpiffeId, spiffeId)
      assert.equal(here.flowId, there.flowId)
      client.end('payload')
      assert.equal((await readAll(server)).toString(), 'payload')
    })

    it('hands the connection that its check made to the first flow', async () => {
      const { world, near, far, source } = await setUp()
      await using _ = world
      let connections = 0
      const served = await far.serve(NAME, socket => {
        connections += 1
        socket.end('once')
      })
      const { path } = await near.connect(source, NAME)
      served.server.close()
      assert.equal((await readAll(await dial(path))).toString(), 'once')
      assert.equal(connections, 1)
    })

    it('logs one line at the end of a flow, at each end, with its bytes', async () => {
      const { world, near, far, source } = await setUp()
      await using _ = world
      await far.serve(NAME, socket => socket.once('data', () => socket.end('pong!')).resume())
      const { path } = await near.connect(source, NAME)
      const client = await dial(path)
      client.end('ping')
      await readAll(client)
      for (const host of new Set([near, far])) {
        const { fields } = await host.flowEnd(/^ended$/)
        assert.equal(fields.bytesOut, 4)
        assert.equal(fields.bytesIn, 5)
        assert.equal(fields.rule, 'test-rule')
        assert.equal(fields.source, 'dev.test.client.default.alpha')
        assert.equal(fields.destination, `${NAME}.${far.machine}`)
        assert.equal(fields.carrier, where === 'this host' ? 'local' : 'direct')
      }
      assert.deepEqual(near.proxy.flows(), [])
    })
  })
}

describe('the two agents', () => {
  it('answer UNAUTHORIZED when only the destination denies', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const far = await world.host('beta')
    const source = near.register('dev.test.client.default')
    await far.serve(NAME, () => {})
    world.allows = (_source, _destination, machine) => machine === 'alpha'
    await assert.rejects(near.connect(source, NAME), code('UNAUTHORIZED'))
  })

  it('pull the registration of a source whose connection was faster than its news', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const far = await world.host('beta')
    const source = near.register('dev.test.client.default')
    source.announced = false
    await far.serve(NAME, () => {})
    let pulls = 0
    far.refresh = async peer => {
      pulls += 1
      assert.equal(peer, near.node.peer)
      source.announced = true
    }
    await near.connect(source, NAME)
    assert.equal(pulls, 1)
  })

  it('refuse a source that its host does not announce', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const far = await world.host('beta')
    const source = near.register('dev.test.client.default')
    source.announced = false
    await far.serve(NAME, () => {})
    await assert.rejects(near.connect(source, NAME), code('INVALID_SOURCE'))
  })

  it('answer DESTINATION_UNREACHABLE when the other one is not there, and have that host looked at', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const far = await world.host('beta')
    const source = near.register('dev.test.client.default')
    await far.serve(NAME, () => {})
    await far.proxy.stop()
    await assert.rejects(near.connect(source, NAME), code('DESTINATION_UNREACHABLE'))
    assert.deepEqual(near.unreachable, [far.node.peer])
  })

  it('refuse a destination whose certificate names another address', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const far = await world.host('beta')
    const source = near.register('dev.test.client.default')
    const served = await far.serve(NAME, () => {})
    const other = far.register('dev.test.other.default')
    const svid = await far.svid(other.id)
    far.svid = async () => svid
    await assert.rejects(near.connect(source, served.address.scope + NAME.slice(3)), /answers there instead of/)
  })

  it('serve an unmodified TCP server', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const far = await world.host('beta')
    const source = near.register('dev.test.client.default')
    const { createServer } = await import('node:net')
    const server = createServer({ allowHalfOpen: true }, socket => socket.pipe(socket))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    world.defer(() => void server.close())
    const bound = server.address()
    assert.ok(bound !== null && typeof bound === 'object')
    far.register(NAME, { kind: 'tcp', host: '127.0.0.1', port: bound.port, server: undefined })
    const client = await dial((await near.connect(source, NAME)).path)
    client.end('echo')
    assert.equal((await readAll(client)).toString(), 'echo')
  })
})

describe('a local endpoint', () => {
  it('is a socket of mode 0600 of its user, and goes with its registration', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const source = near.register('dev.test.client.default')
    await near.serve(NAME, () => {})
    const { path } = await near.connect(source, NAME)
    const stats = statSync(path)
    assert.equal(stats.mode & 0o777, 0o600)
    assert.equal(stats.uid, UID)
    near.deregister(source.id)
    assert.equal(existsSync(path), false)
  })

  it('belongs to the uid of its source when the agent is root', { skip: UID !== 0 }, async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const { id: registrationId, address } = near.register('dev.test.client.default')
    await near.serve(NAME, () => {})
    const { path } = await near.proxy.connect({
      source: { registrationId, address, uid: 65_534, view: VIEW },
      destination: parsePattern(NAME),
      protocol: 'tcp',
      hello: false,
      signal
    })
    assert.equal(statSync(path).uid, 65_534)
    // Root may connect to any socket, but is not the workload.
    assert.equal((await endOf(await dial(path))).end, 'cut')
  })

  it('is removed when nobody connects to it', async t => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const source = near.register('dev.test.client.default')
    await near.serve(NAME, () => {})
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { path, helloTimeoutMs } = await near.connect(source, NAME)
    assert.equal(existsSync(path), true)
    t.mock.timers.tick(helloTimeoutMs)
    assert.equal(existsSync(path), false)
    t.mock.timers.reset()
  })

  it('answers CANNOT_CONNECT when it cannot be made', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const source = near.register('dev.test.client.default')
    await near.serve(NAME, () => {})
    const { rmSync, readdirSync } = await import('node:fs')
    for (const name of readdirSync(world.directory)) {
      if (name.startsWith('run-')) rmSync(`${world.directory}/${name}/endpoints`, { recursive: true })
    }
    await assert.rejects(near.connect(source, NAME), code('CANNOT_CONNECT'))
  })
})

describe('limits', () => {
  it('bound the flows of one registration, and room returns when one ends', async () => {
    await using world = await World.create()
    const near = await world.host('alpha', { limits: { flowsPerWorkload: 2 } })
    const far = await world.host('beta')
    const source = near.register('dev.test.client.default')
    await far.serve(NAME, socket => socket.pipe(socket))
    const { path } = await near.connect(source, NAME, true)
    const first = await dial(path)
    const second = await dial(path)
    for (const socket of [first, second]) await readFrame(socket, 16_384, signal)
    const third = await dial(path)
    const refused = decode(proxyPb.FlowHelloSchema, await readFrame(third, 16_384, signal), 16_384)
    assert.equal(refused.error?.code, 'LIMIT_EXCEEDED')
    assert.deepEqual(near.hits, ['proxy_flows_per_workload'])
    first.end()
    await readAll(first)
    await near.flowEnd(/^ended$/)
    const fourth = await dial(path)
    const granted = decode(proxyPb.FlowHelloSchema, await readFrame(fourth, 16_384, signal), 16_384)
    assert.equal(granted.error, undefined)
  })

  it('bound the flows of the agent and its sessions', async () => {
    await using world = await World.create()
    const near = await world.host('alpha', { limits: { flows: 1, sessions: 1 } })
    const far = await world.host('beta')
    const source = near.register('dev.test.client.default')
    await far.serve(NAME, socket => socket.pipe(socket))
    await far.serve('dev.test.second.default', () => {})
    const { path } = await near.connect(source, NAME)
    const client = await dial(path)
    client.write('x')
    await readBytes(client, 1)
    await assert.rejects(near.connect(source, NAME), /LIMIT_EXCEEDED: flows of this agent/)
    client.end()
    await readAll(client)
    await near.flowEnd(/^ended$/)
    // An idle session makes room for another.
    await near.connect(source, 'dev.test.second.default')
    assert.deepEqual(near.hits, ['proxy_flows'])
    assert.equal(near.proxy.totals().sessions.client, 1)
  })
})
