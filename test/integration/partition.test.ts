import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { asRoot, createHosts, scopeOf, type TestAgent, waitFor } from '../harness/index.ts'
import { membersOf, register, registrationsOn, startMesh } from './support/mesh-of-hosts.ts'

/** After the link is back, until all hold the same state. */
const HEALED_MS = 5_000
/** More than a lease makes each side forget the other. */
const PARTITION_SECONDS = Number(process.env['TEST_PARTITION_SECONDS'] ?? 4)
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'] as const

async function viewOf(agent: TestAgent): Promise<string[]> {
  const found = await registrationsOn(agent)
  return found.map(({ address, registrationId, suspect }) => `${address} ${registrationId} ${suspect === true}`).sort()
}

test(
  'ten agents in two halves, with registrations, ends and a crash on both sides, heal to one state',
  asRoot,
  async t => {
    const scope = scopeOf(t)
    const hosts = await createHosts(scope, ...NAMES)
    const agents = await startMesh(scope, hosts)
    const [left, right] = [agents.slice(0, 5), agents.slice(5)]
    const [leftHosts, rightHosts] = [hosts.slice(0, 5), hosts.slice(5)]
    const before = await Promise.all(agents.map((agent, at) => register(agent, `dev.before.n${at}.default`)))
    await waitFor(async () => {
      const views = await Promise.all(agents.map(registrationsOn))
      return views.every(({ length }) => length === agents.length)
    }, 'all to know all registrations')

    for (const host of leftHosts) for (const other of rightHosts) host.cut(other)
    const crashed = new Set(['m4', 'm9'])
    const alive = agents.filter(({ name }) => !crashed.has(name))
    await Promise.all([left[4]!.kill(), right[4]!.kill()])
    await Promise.all([
      register(left[1]!, 'dev.during.left.default'),
      register(right[1]!, 'dev.during.right.default'),
      left[2]!.cli('deregister', before[2]!.token, '--wait', 'local'),
      right[2]!.cli('deregister', before[7]!.token, '--wait', 'local')
    ])
    // Each side sees its own changes while it cannot see the other's.
    await left[0]!.knows('dev.during.left.default')
    await right[0]!.knows('dev.during.right.default')
    const acrossTheCut = await registrationsOn(left[0]!)
    assert.ok(!acrossTheCut.some(({ address }) => address.startsWith('dev.during.right')))
    // The fault itself takes time; nothing is waited for here.
    await pause(PARTITION_SECONDS * 1_000)

    const healedMs = performance.now()
    for (const host of leftHosts) host.heal()
    const expected = [
      ...[0, 1, 3, 5, 6, 8].map(at => `dev.before.n${at}.default.m${at}`),
      'dev.during.left.default.m1',
      'dev.during.right.default.m6'
    ].sort()
    const seconds = (): string => ((performance.now() - healedMs) / 1_000).toFixed(1)
    // Of those that crashed only a lease can tell, so they are left out until it has ended.
    const ofLiving = async (agent: TestAgent): Promise<string[]> =>
      (await viewOf(agent)).filter(line => !/\.m[49] /.test(line))
    await waitFor(
      async () => {
        const views = (await Promise.all(alive.map(ofLiving))).map(view => view.map(line => line.replace(/ \w+$/, '')))
        const [first = []] = views
        const same = views.every(view => view.join() === first.join())
        return same && first.map(line => line.split(' ')[0]).join() === expected.join()
      },
      'all to hold the same registrations of all that live',
      HEALED_MS
    )
    t.diagnostic(`link back to one state on all eight: ${seconds()} s`)
    await waitFor(
      async () => {
        const views = await Promise.all(alive.map(ofLiving))
        return views.every(view => view.every(line => line.endsWith(' false')))
      },
      'nobody that lives to be suspect any more',
      2 * HEALED_MS
    )
    t.diagnostic(`link back to all of them in routing on all eight: ${seconds()} s`)

    await waitFor(async () => {
      const views = await Promise.all(alive.map(membersOf))
      return views.every(members => members.size === alive.length && [...members.values()].every(isThere))
    }, 'the crashed to be gone with their leases, and nobody else')
    const views = await Promise.all(alive.map(viewOf))
    for (const view of views) assert.deepEqual(view, views[0])
    assert.deepEqual(
      views[0]?.map(line => line.split(' ')[0]),
      expected
    )
  }
)

function isThere({ state }: { readonly state: string }): boolean {
  return state !== 'suspect' && state !== 'gone'
}
