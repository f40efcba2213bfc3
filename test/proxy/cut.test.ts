import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { waitFor } from '../harness/wait-for.ts'
import { KEPT_AT_ONCE, type Pair, untilConnectionIsPooled } from './support/pooled.ts'
import { proxyTo } from './support/proxy.ts'
import { Accepted, converse, dial, endOf, readBytes } from './support/sockets.ts'
import { type Host, type HostOptions, World } from './support/world.ts'

const NAME = 'dev.test.server.default'

/** What carries a flow: `fast-path connection` if it has moved to one. */
type On = 'session' | 'fastpath' | 'pooled'

interface Live {
  readonly world: World
  readonly near: Host
  readonly far: Host
  readonly source: { readonly id: string }
  readonly served: { readonly id: string }
  readonly path: string
  readonly open: () => Promise<Pair>
}

/** Two hosts and a way to open flows between them, over a network that can be taken away. */
async function live(on: On, { throughProxy, ...given }: HostOptions & { throughProxy?: boolean } = {}) {
  const options = on === 'pooled' ? { ...KEPT_AT_ONCE, ...given } : given
  const world = await World.create()
  const near = await world.host('alpha', options)
  const far = await world.host('beta', options)
  const proxy = await proxyTo(world, far.dataAddresses[0] ?? '')
  if (throughProxy === true) far.dataAddresses = [proxy.address]
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  const served = await far.serve(NAME, accepted.push)
  const { path } = await near.connect(source, NAME)
  const begin = async (): Promise<Pair> => {
    const client = await dial(path)
    return { client, server: await accepted.next() }
  }
  const open = async (): Promise<Pair> => {
    if (on === 'pooled') await untilConnectionIsPooled(near, begin)
    const { client, server } = await begin()
    client.write('x')
    await readBytes(server, 1)
    const isMoved = (): boolean => [near, far].every(host => host.proxy.flows().at(-1)?.carrier === 'fastpath')
    if (on === 'fastpath') await converse(client, server, isMoved)
    if (on === 'pooled') assert.ok(isMoved())
    return { client, server }
  }
  return { world, near, far, source, served, path, open, proxy } satisfies Live & { proxy: unknown }
}

async function bothCut({ client, server }: Pair): Promise<void> {
  const [here, there] = await Promise.all([endOf(client), endOf(server)])
  assert.equal(here.end, 'cut')
  assert.equal(there.end, 'cut')
}

for (const on of ['session', 'fastpath', 'pooled'] as const) {
  describe(`a live flow on a ${on}`, () => {
    it('is cut at both ends when the policy of the source forbids it, and both logs say so', async () => {
      const { world, near, far, open } = await live(on)
      await using _ = world
      const flow = await open()
      world.allows = (_source, _destination, machine) => machine !== 'alpha'
      near.proxy.reevaluate('policy version 2')
      await bothCut(flow)
      await near.flowEnd(/no longer allowed: no rule/)
      await far.flowEnd(/cut by the other agent: no longer allowed/)
    })

    it('is cut at both ends when the policy of the destination forbids it', async () => {
      const { world, near, far, open } = await live(on)
      await using _ = world
      const flow = await open()
      world.allows = (_source, _destination, machine) => machine !== 'beta'
      far.proxy.reevaluate('policy version 2')
      await bothCut(flow)
      await far.flowEnd(/no longer allowed: no rule/)
      await near.flowEnd(/cut by the other agent: no longer allowed/)
    })

    it('lives on when it is verified again and still allowed', async () => {
      const { world, near, far, open } = await live(on)
      await using _ = world
      const { client, server } = await open()
      near.proxy.reevaluate('nothing changed')
      far.proxy.reevaluate('nothing changed')
      client.write('still here')
      assert.equal((await readBytes(server, 10)).toString(), 'still here')
    })

    it('is cut when the host of its source is evicted', async () => {
      const { world, far, open } = await live(on)
      await using _ = world
      const flow = await open()
      world.revoked.add('alpha')
      far.proxy.reevaluate('revocations version 2')
      await bothCut(flow)
      await far.flowEnd(/no longer trusted/)
    })

    it('is cut when the host of its destination is evicted', async () => {
      const { world, near, open } = await live(on)
      await using _ = world
      const flow = await open()
      world.revoked.add('beta')
      near.proxy.reevaluate('revocations version 2')
      await bothCut(flow)
      await near.flowEnd(/no longer trusted/)
    })

    it('is cut when the registration of its source ends', async () => {
      const { world, near, far, source, open } = await live(on)
      await using _ = world
      const flow = await open()
      near.deregister(source.id)
      await bothCut(flow)
      await near.flowEnd(/registration ended: deregistered/)
      await far.flowEnd(/a registration ended/)
      assert.equal(near.proxy.flows().length, 0)
    })

    it('is cut when the registration of its destination ends', async () => {
      const { world, near, far, served, open } = await live(on)
      await using _ = world
      const flow = await open()
      far.deregister(served.id)
      await bothCut(flow)
      await near.flowEnd(/a registration ended/)
    })

    it('is cut by the host that no longer knows its other end, whose lease is over', async () => {
      for (const who of ['source', 'served'] as const) {
        const all = await live(on)
        await using _ = all.world
        const flow = await all.open()
        const ended = all.world.registrations.get(all[who].id) ?? assert.fail()
        ended.announced = false
        const verifier = who === 'source' ? all.far : all.near
        verifier.proxy.reevaluate('registry: lease')
        await bothCut(flow)
        await verifier.flowEnd(/gone: it is no longer registered/)
      }
    })

    it('is cut, not ended, when an agent stops while data is under way', async () => {
      const { world, near, far, open } = await live(on)
      await using _ = world
      const flow = await open()
      const chunk = randomBytes(256 * 1024)
      const pour = (): void => {
        while (!flow.server.destroyed && flow.server.write(chunk));
      }
      flow.server.on('drain', pour)
      pour()
      await readBytes(flow.client, 4 * 1024 * 1024)
      await far.proxy.stop()
      await bothCut(flow)
      await near.flowEnd(/./)
    })

    it('is cut when the connection between the agents breaks', async () => {
      const { world, near, far, open, proxy } = await live(on, { throughProxy: true })
      await using _ = world
      const flow = await open()
      proxy.sever()
      await bothCut(flow)
      await near.flowEnd(/link/)
      await far.flowEnd(/link/)
    })

    it('is cut when the stream of the mesh below it breaks', async () => {
      const { world, near, open } = await live('session', { carrier: 'mesh' })
      await using _ = world
      const flow = await open()
      for (const carrier of near.carriers) carrier.destroy()
      await bothCut(flow)
    })

    it('is cut at both ends when the link swallows everything without a word', { timeout: 15_000 }, async () => {
      const { world, open, proxy } = await live(on, { throughProxy: true })
      await using _ = world
      const flow = await open()
      proxy.blackHole()
      await bothCut(flow)
    })

    it('is cut cleanly in the middle of a transfer, and never looks complete', async () => {
      const { world, near, open } = await live(on)
      await using _ = world
      // Data, an end and a reset race in both agents; each round catches them elsewhere.
      for (let round = 0; round < 20; round += 1) {
        world.allows = () => true
        const { client, server } = await open()
        const ended = endOf(server)
        client.write(randomBytes(round * 40_000))
        if (round % 2 === 0) await new Promise(resolve => setImmediate(resolve))
        world.allows = () => false
        near.proxy.reevaluate(`round ${round}`)
        assert.equal((await ended).end, 'cut')
      }
    })
  })
}

describe('sessions', () => {
  it('are shared by the flows of one pair and opened once', async () => {
    const { world, near, open } = await live('session')
    await using _ = world
    await Promise.all(Array.from({ length: 20 }, () => open()))
    assert.equal(near.proxy.sessions(), 1)
    assert.equal(near.proxy.flows().length, 20)
  })

  it('are replaced when the certificate of the source was renewed, without touching live flows', async () => {
    const { world, near, source, open } = await live('session')
    await using _ = world
    const before = await open()
    near.renew(source.id)
    const between = await open()
    await waitFor(() => near.proxy.sessions() === 2, 'another session')
    const after = await open()
    for (const { client, server } of [before, between, after]) {
      client.write('both live')
      assert.equal((await readBytes(server, 9)).toString(), 'both live')
    }
  })

  it('that died unnoticed are replaced before the workload sees an error', async () => {
    const { world, open, proxy } = await live('session', { throughProxy: true })
    await using _ = world
    await open()
    proxy.sever()
    const { client, server } = await open()
    client.write('again')
    assert.equal((await readBytes(server, 5)).toString(), 'again')
  })

  it('fall back to the mesh when the direct way fails, and name the carrier', async () => {
    await using world = await World.create()
    const near = await world.host('alpha', { carrier: 'auto' })
    const far = await world.host('beta', { carrier: 'auto' })
    const source = near.register('dev.test.client.default')
    await far.serve(NAME, socket => socket.pipe(socket))
    // Nothing listens on the first; the second does not answer like an agent.
    const { createServer } = await import('node:net')
    const dumb = createServer(socket => socket.on('error', () => {}).end('220 not an agent\r\n'))
    await new Promise<void>(resolve => dumb.listen(0, '127.0.0.1', resolve))
    world.defer(() => void dumb.close())
    const bound = dumb.address()
    assert.ok(bound !== null && typeof bound === 'object')
    far.dataAddresses = ['127.0.0.1:1', `127.0.0.1:${bound.port}`]
    const { path } = await near.connect(source, NAME)
    const client = await dial(path)
    client.write('x')
    await readBytes(client, 1)
    assert.equal(near.proxy.flows()[0]?.carrier, 'mesh')
    assert.equal(far.proxy.flows()[0]?.carrier, 'mesh')
  })

  it('reach an agent at its second address when the first is another machine', async () => {
    await using world = await World.create()
    const near = await world.host('alpha', { carrier: 'auto' })
    const far = await world.host('beta', { carrier: 'auto' })
    const third = await world.host('gamma')
    const source = near.register('dev.test.client.default')
    await far.serve(NAME, socket => socket.pipe(socket))
    far.dataAddresses = [...third.dataAddresses, ...far.dataAddresses]
    const { path } = await near.connect(source, NAME)
    const client = await dial(path)
    client.write('x')
    await readBytes(client, 1)
    assert.equal(near.proxy.flows()[0]?.carrier, 'direct')
  })
})

describe('several instances', () => {
  it('are tried one after another until one takes the flow', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const dead = await world.host('beta')
    const good = await world.host('gamma')
    const source = near.register('dev.test.client.default')
    await dead.serve(NAME, () => {})
    await good.serve(NAME, socket => socket.end('gamma'))
    await dead.proxy.stop()
    for (let round = 0; round < 4; round += 1) {
      const { spiffeId } = await near.connect(source, NAME)
      assert.match(spiffeId, /\/gamma$/)
    }
  })

  it('prefer the one on the same machine', async () => {
    await using world = await World.create()
    const near = await world.host('alpha')
    const far = await world.host('beta')
    const source = near.register('dev.test.client.default')
    await far.serve(NAME, () => {})
    const here = await near.serve(NAME, () => {})
    assert.match((await near.connect(source, NAME)).spiffeId, /\/alpha$/)
    here.health = 'failing'
    assert.match((await near.connect(source, NAME)).spiffeId, /\/beta$/)
  })
})
