import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { describe, it } from 'node:test'
import { waitFor } from '../harness/wait-for.ts'
import { Accepted, dial, readAll, readBytes } from './support/sockets.ts'
import { type Host, type Registration, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const SECOND = 'dev.test.second.default'

interface Pair {
  readonly near: Host
  readonly far: Host
  readonly source: Registration
  readonly accepted: Accepted
}

/** A client on one host, and two servers that echo on the other. */
async function pair(world: World, endpointsPerUid: number): Promise<Pair> {
  const near = await world.host('alpha', { limits: { endpointsPerUid } })
  const far = await world.host('beta')
  const source = near.register('dev.test.client.default')
  const accepted = new Accepted()
  for (const name of [NAME, SECOND]) {
    await far.serve(name, socket => {
      accepted.push(socket)
      socket.pipe(socket)
    })
  }
  return { near, far, source, accepted }
}

async function echoes(path: string): Promise<Awaited<ReturnType<typeof dial>>> {
  const client = await dial(path)
  client.write('x')
  assert.equal((await readBytes(client, 1)).toString(), 'x')
  return client
}

describe('an endpoint', () => {
  it('is the same for the same request, also for many at once, and another for another request', async () => {
    await using world = await World.create()
    const { near, source } = await pair(world, 100)
    const answers = await Promise.all(Array.from({ length: 20 }, () => near.connect(source, NAME)))
    const paths = new Set(answers.map(({ path }) => path))
    assert.equal(paths.size, 1)
    const [path = ''] = paths
    for (let at = 0; at < 3; at += 1) (await echoes(path)).destroy()
    assert.equal((await near.connect(source, NAME)).path, path)

    const others = [
      await near.connect(source, SECOND),
      await near.connect(source, NAME, true),
      await near.connect(source, NAME, false, 'tcp', 'first'),
      await near.connect(near.register('dev.test.other.default'), NAME)
    ]
    assert.equal(new Set([path, ...others.map(other => other.path)]).size, 5)
    assert.equal(near.proxy.totals().endpoints, 5)
  })

  it('makes room for another of its user when it is the idlest, and not while it has a connection', async () => {
    await using world = await World.create()
    const { near, source } = await pair(world, 2)
    const { path: busy } = await near.connect(source, NAME)
    const held = await echoes(busy)
    const idle = await near.connect(source, SECOND)
    ;(await echoes(idle.path)).destroy()
    await waitFor(() => near.proxy.flowCount() === 1, 'the connection to end')
    // As many as a busy client makes: each is used, and each takes the place of the one before.
    for (let at = 0; at < 10; at += 1) {
      const { path } = await near.connect(near.register(`dev.test.client-${at}.default`), NAME)
      ;(await echoes(path)).destroy()
      await waitFor(() => near.proxy.flowCount() === 1, 'the connection to end')
      assert.equal(near.proxy.totals().endpoints, 2)
    }
    await assert.rejects(dial(idle.path), { code: 'ENOENT' })
    held.write('y')
    assert.equal((await readBytes(held, 1)).toString(), 'y')
    assert.equal((await near.connect(source, NAME)).path, busy)
    assert.ok(near.hits.includes('proxy_endpoints_per_uid'))
  })

  it('that was given out a moment ago stays for its connection while another can go', async () => {
    await using world = await World.create()
    const { near, source } = await pair(world, 2)
    const used = await near.connect(source, NAME)
    const promised = await near.connect(source, SECOND)
    // Used after the other was given out, and yet nobody waits for it.
    const first = await echoes(used.path)
    first.end()
    await readAll(first)
    await near.flowEnd(/^ended$/)
    await near.connect(near.register('dev.test.other.default'), NAME)
    await assert.rejects(dial(used.path), { code: 'ENOENT' })
    ;(await echoes(promised.path)).destroy()
  })

  it('is refused when all of its user have connections', async () => {
    await using world = await World.create()
    const { near, source } = await pair(world, 1)
    const held = await echoes((await near.connect(source, NAME)).path)
    await assert.rejects(near.connect(source, SECOND), /LIMIT_EXCEEDED: endpoints of this user/)
    held.destroy()
  })

  it('whose path a cleaner has removed is made again', async () => {
    await using world = await World.create()
    const { near, source } = await pair(world, 100)
    const first = await near.connect(source, NAME)
    const held = await echoes(first.path)
    rmSync(first.path)
    const second = await near.connect(source, NAME)
    assert.notEqual(second.path, first.path)
    ;(await echoes(second.path)).destroy()
    held.write('y')
    assert.equal((await readBytes(held, 1)).toString(), 'y')
    held.destroy()
  })
})
