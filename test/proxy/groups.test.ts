import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Strategy } from '../../src/proxy/index.ts'
import { waitFor } from '../harness/index.ts'
import { proxyTo } from './support/proxy.ts'
import { dial, readAll } from './support/sockets.ts'
import { type Host, listenAt, type Registration, World } from './support/world.ts'

const NAME = 'dev.test.server.default'
const refusal = (code: string, reason: RegExp) => (err: unknown) => {
  const { code: got, reason: said } = err as { code?: string; reason?: string }
  assert.equal(got, code, String(err))
  assert.match(said ?? '', reason)
  return true
}

/** `names` in one world, each but the first serving what tells its name; the first has the source. */
async function group(names: readonly string[], options: { readonly here?: boolean } = {}) {
  const world = await World.create()
  const hosts: Host[] = []
  for (const name of names) hosts.push(await world.host(name))
  const [near] = hosts as [Host]
  const serving = options.here === true ? hosts : hosts.slice(1)
  const served = new Map<string, Awaited<ReturnType<Host['serve']>>>()
  for (const host of serving) {
    served.set(host.machine, await host.serve(NAME, socket => void socket.end(host.machine)))
  }
  const source = near.register('dev.test.client.default')
  return { world, hosts, near, source, served }
}

/** Who answers one connection. */
async function reach(near: Host, source: Registration, strategy: Strategy, destination = NAME): Promise<string> {
  const { path } = await near.connect(source, destination, false, 'tcp', strategy)
  const socket = await dial(path)
  const answer = (await readAll(socket)).toString()
  socket.destroy()
  return answer
}

async function reachMany(count: number, ...args: Parameters<typeof reach>): Promise<string[]> {
  const answers: string[] = []
  for (let done = 0; done < count; done += 1) answers.push(await reach(...args))
  return answers
}

test('balanced: an instance of this host takes everything as long as it is healthy', async () => {
  const { world, near, source, served } = await group(['alpha', 'beta', 'gamma'], { here: true })
  await using _ = world
  assert.deepEqual(new Set(await reachMany(8, near, source, 'balanced')), new Set(['alpha']))
  const own = served.get('alpha')
  assert.ok(own)
  own.health = 'failing'
  const others = await reachMany(24, near, source, 'balanced')
  assert.deepEqual(new Set(others), new Set(['beta', 'gamma']))
})

test('first: one instance takes everything, the next stands by', async () => {
  const { world, near, source, served } = await group(['zeta', 'beta', 'gamma'], { here: true })
  await using _ = world
  assert.deepEqual(new Set(await reachMany(8, near, source, 'first')), new Set(['beta']))
  const first = served.get('beta')
  assert.ok(first)
  first.health = 'failing'
  assert.equal(await reach(near, source, 'first'), 'gamma')
  first.health = 'passing'
  assert.equal(await reach(near, source, 'first'), 'beta')
})

test('sticky: a source stays with its instance, sources are spread, and only those of a lost instance move', async () => {
  const { world, near, served } = await group(['alpha', 'beta', 'gamma', 'delta'])
  await using _ = world
  const sources = Array.from({ length: 12 }, (_unused, at) => near.register(`dev.test.client${at}.default`))
  const where = async (): Promise<string[]> => await Promise.all(sources.map(source => reach(near, source, 'sticky')))
  const before = await where()
  assert.deepEqual(await where(), before)
  assert.ok(new Set(before).size > 1, before.join())
  const lost = before[0] ?? ''
  const gone = served.get(lost)
  assert.ok(gone)
  gone.health = 'draining'
  const after = await where()
  for (const [at, machine] of before.entries()) {
    if (machine === lost) assert.notEqual(after[at], lost)
    else assert.equal(after[at], machine)
  }
})

test('exact: the instance of a full address, and no other when it fails', async () => {
  const { world, near, source, served } = await group(['alpha', 'beta', 'gamma'], { here: true })
  await using _ = world
  assert.equal(await reach(near, source, 'exact', `${NAME}.gamma`), 'gamma')
  await assert.rejects(reach(near, source, 'exact'), refusal('INVALID_ARGUMENT', /several instances/))
  await assert.rejects(
    reach(near, source, 'exact', 'dev.test.server.default.*'),
    refusal('INVALID_ARGUMENT', /several instances/)
  )
  const gamma = served.get('gamma')
  assert.ok(gamma)
  gamma.server.close()
  await assert.rejects(
    reach(near, source, 'exact', `${NAME}.gamma`),
    refusal('DESTINATION_UNREACHABLE', /own socket does not answer/)
  )
})

for (const strategy of ['balanced', 'first', 'sticky'] as const) {
  test(`${strategy}: suspect, failing and draining instances are skipped`, async () => {
    const { world, near, source, served } = await group(['alpha', 'beta', 'gamma', 'delta', 'omega'])
    await using _ = world
    world.suspects.add('beta')
    world.draining.add('gamma')
    const failing = served.get('delta')
    assert.ok(failing)
    failing.health = 'failing'
    assert.deepEqual(new Set(await reachMany(12, near, source, strategy)), new Set(['omega']))
    world.suspects.add('omega')
    await assert.rejects(
      reach(near, source, strategy),
      refusal(
        'DESTINATION_UNREACHABLE',
        /none of 4 instances .*beta is on a host that does not answer; .*gamma is draining; .*delta is failing; .*omega is on a host/
      )
    )
  })

  test(`${strategy}: an instance that does not answer is followed by the next before the workload sees anything`, async () => {
    const { world, near, source, served } = await group(['alpha', 'beta', 'gamma', 'delta'])
    await using _ = world
    for (const machine of ['beta', 'delta']) served.get(machine)?.server.close()
    assert.deepEqual(new Set(await reachMany(12, near, source, strategy)), new Set(['gamma']))
    served.get('gamma')?.server.close()
    await assert.rejects(
      reach(near, source, strategy),
      refusal('DESTINATION_UNREACHABLE', /none of 3 .*(beta|gamma|delta).*: its own socket does not answer .*; .*; /)
    )
  })
}

test('a host that swallows everything costs a flow about a second, not its deadline, when another can take it', async t => {
  const { world, hosts, near, source } = await group(['alpha', 'beta', 'gamma'])
  await using _ = world
  const [, beta] = hosts as [Host, Host]
  const proxy = await proxyTo(world, beta.dataAddresses[0] ?? '')
  beta.dataAddresses = [proxy.address]
  proxy.blackHole()
  const begun = performance.now()
  assert.equal(await reach(near, source, 'first'), 'gamma')
  t.diagnostic(`past a silent host in ${Math.round(performance.now() - begun)} ms`)
  assert.deepEqual(new Set(near.unreachable), new Set([beta.node.peer]))
})

test('what one connection learned of a silent host spares the next ones the wait, and they return to it in time', async t => {
  const { world, hosts, near, source } = await group(['alpha', 'beta', 'gamma'])
  await using _ = world
  const [, beta] = hosts as [Host, Host]
  const own = beta.dataAddresses
  const proxy = await proxyTo(world, own[0] ?? '')
  beta.dataAddresses = [proxy.address]
  proxy.blackHole()
  assert.equal(await reach(near, source, 'first'), 'gamma')
  const begun = performance.now()
  assert.deepEqual(new Set(await reachMany(10, near, source, 'first')), new Set(['gamma']))
  t.diagnostic(`ten more in ${Math.round(performance.now() - begun)} ms`)
  // Only the first has waited for it in vain.
  assert.equal(near.unreachable.length, 1)
  beta.dataAddresses = own
  await waitFor(async () => (await reach(near, source, 'first')) === 'beta', 'the first instance to be first again')
})

test('an instance in doubt is still tried when there is no other', async () => {
  const { world, near, source, served } = await group(['alpha', 'beta'])
  await using _ = world
  const { server, path } = served.get('beta') ?? assert.fail()
  server.close()
  await assert.rejects(reach(near, source, 'balanced'), refusal('DESTINATION_UNREACHABLE', /its own socket/))
  await listenAt(world, path, socket => void socket.end('back'))
  assert.equal(await reach(near, source, 'balanced'), 'back')
})

test('a session that has gone silent does not hold up the flows that another instance can take', async t => {
  const { world, hosts, near, source } = await group(['alpha', 'beta', 'gamma'])
  await using _ = world
  const [, beta] = hosts as [Host, Host]
  const proxy = await proxyTo(world, beta.dataAddresses[0] ?? '')
  beta.dataAddresses = [proxy.address]
  assert.equal(await reach(near, source, 'first'), 'beta')
  proxy.blackHole()
  const begun = performance.now()
  assert.equal(await reach(near, source, 'first'), 'gamma')
  t.diagnostic(`past a silent session in ${Math.round(performance.now() - begun)} ms`)
})

test('of several addresses of one host the one that answers is used, whatever the others do', async t => {
  const { world, hosts, near, source } = await group(['alpha', 'beta'])
  await using _ = world
  const [, beta] = hosts as [Host, Host]
  const own = beta.dataAddresses[0] ?? ''
  const dark = await proxyTo(world, own)
  dark.blackHole()
  beta.dataAddresses = [dark.address, '127.0.0.1:1', dark.address, own]
  const begun = performance.now()
  assert.equal(await reach(near, source, 'balanced'), 'beta')
  t.diagnostic(`the fourth address after ${Math.round(performance.now() - begun)} ms`)
})
