import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import test from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type PeerKey, parsePeerKey, rawKeyOf } from '../../src/identity/index.ts'
import { create, registryPb } from '../../src/wire/index.ts'
import { localCall, scopeOf, TestAgent, waitFor } from '../harness/index.ts'
import { HostileMember, syncResponse } from './support/hostile-member.ts'
import { membersOf, register, registrationsOn } from './support/mesh-of-hosts.ts'

/** From the answer to the call until all honest hosts hold the registration, whatever the hostile one does meanwhile. */
const REPLICATED_MS = 2_000

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

async function metric(agent: TestAgent, name: string, label = ''): Promise<number> {
  const { samples } = JSON.parse(await agent.cli('metrics', '--json')) as { samples: readonly Sample[] }
  const found = samples.filter(one => one.name === name && (label === '' || Object.values(one.labels).includes(label)))
  return found.reduce((sum, { value }) => sum + value, 0)
}

/** Registers on one host and waits until the others know it; returns how many milliseconds that took, the call included. */
async function replicates(on: TestAgent, others: readonly TestAgent[], address: string): Promise<number> {
  const startedMs = performance.now()
  const asked = { address, ownerPid: process.pid, ttlMs: 600_000, wait: 'WAIT_LOCAL' }
  const { status } = await localCall(on.socket, 'WorkloadService/Register', asked)
  assert.equal(status, 200)
  await waitFor(
    async () =>
      (await Promise.all(others.map(registrationsOn))).every(all =>
        all.some(one => one.address.startsWith(`${address}.`))
      ),
    `${address} to be known to all`,
    REPLICATED_MS
  )
  return performance.now() - startedMs
}

test('a hostile member changes nobody else’s records, ends in quarantine, and does not keep others from theirs', async t => {
  const scope = scopeOf(t)
  const a = await new TestAgent(scope, { name: 'a', args: [] }).start(['--init', 'example.org'])
  const join = async (name: string): Promise<TestAgent> =>
    await new TestAgent(scope, { name, args: [] }).start(['--join', await a.token(name)])
  const [b, c, victim] = [await join('b'), await join('c'), await join('mallory')]
  const honest = [a, b, c]
  await Promise.all(honest.map(agent => agent.sees(3)))
  await victim.stop()
  await Promise.all(honest.map((agent, at) => register(agent, `dev.honest.n${at}.default`)))
  const kept = async (agent: TestAgent): Promise<string> =>
    (await registrationsOn(agent))
      .filter(({ address }) => address.startsWith('dev.honest.'))
      .map(({ address, registrationId }) => `${address} ${registrationId}`)
      .sort()
      .join('\n')
  await waitFor(
    async () => (await Promise.all(honest.map(kept))).every(list => list.split('\n').length === 3),
    'all three'
  )
  const before = await kept(a)
  const epochs = async (agent: TestAgent): Promise<string> =>
    [...(await membersOf(agent))]
      .filter(([name]) => name !== 'mallory')
      .map(([name, { epoch }]) => `${name} ${epoch}`)
      .sort()
      .join()
  const epochsBefore = await epochs(a)

  const hostile = await HostileMember.inPlaceOf(victim, honest)
  scope.defer(() => hostile.stop())
  await waitFor(() => hostile.mesh.connected().length === 3, 'the hostile member to be connected to all')
  const peers = await Promise.all(honest.map(async agent => parsePeerKey((await agent.status()).peerId)))
  const [peerA] = peers as [PeerKey]
  await hostile.learnFrom(peerA)
  // Taken over before anything else: a host that nobody knows is not worth the trouble.
  for (const bytes of hostile.step({ type: 'local-change', puts: [hostile.record('first')], deletes: [] })) {
    await hostile.shout(bytes)
  }
  await Promise.all(honest.map(agent => agent.knows('dev.hostile.first.default')))

  const attacks: ReadonlyArray<readonly [what: string, attack: () => Promise<void>]> = [
    [
      'heads of others, replayed',
      async () => {
        for (const { head } of hostile.heard) await hostile.say({ case: 'head', value: head })
      }
    ],
    [
      'heads of its own from the future',
      async () => {
        const issuedAtMs = Date.now() + 3_600_000
        for (let at = 1n; at <= 20n; at += 1n) {
          await hostile.say({ case: 'head', value: hostile.own({ issuedAtMs, seq: 1_000n + at }) })
        }
      }
    ],
    [
      'lies in digests and in what is fetched',
      async () => {
        let asked = 0
        hostile.lie = ask => {
          asked += 1
          if (asked % 3 === 0) return randomBytes(1_000)
          if (ask.case === 'digest') {
            const owners = peers.map(peer =>
              create(registryPb.OwnerDigestSchema, {
                owner: rawKeyOf(peer),
                epoch: 2n ** 60n,
                seq: 1n,
                headDigest: randomBytes(8)
              })
            )
            return syncResponse({ case: 'digest', value: create(registryPb.DigestResponseSchema, { owners }) })
          }
          // An empty set for each, by a head that their owner did not sign.
          const states = hostile.heard.map(heard =>
            create(registryPb.OwnerStateSchema, {
              head: hostile.forged(heard, { epoch: 2n ** 60n, count: 0, root: '0'.repeat(64) }),
              set: { case: 'records', value: create(registryPb.RecordSetSchema, { records: [] }) }
            })
          )
          return syncResponse({ case: 'fetch', value: create(registryPb.FetchResponseSchema, { states }) })
        }
        // Whoever finds out waits longer and longer before it asks again.
        await waitFor(() => asked >= 4, 'the others to ask for its lies')
        hostile.lie = undefined
      }
    ],
    [
      'a flood of changes of its own set',
      async () => {
        for (let at = 0; at < 3_000; at += 1) {
          for (const bytes of hostile.step({ type: 'refresh' })) await hostile.shout(bytes)
          // What measures runs in this process too, and would wait for the end of the flood.
          if (at % 20 === 0) await nextTurn()
        }
      }
    ],
    [
      'suspicion gossip that every healthy host is dead',
      async () => {
        for (let at = 0; at < 100; at += 1) {
          const about = peers[at % 3] as PeerKey
          await Promise.all(peers.filter(to => to !== about).map(to => hostile.slander(to, about).catch(() => {})))
        }
      }
    ],
    [
      'oversize requests',
      async () => {
        const options = { maxResponseBytes: 1_024, timeoutMs: 3_000 }
        const large = new Uint8Array(1024 * 1024)
        await Promise.all(peers.map(to => hostile.mesh.request(to, '/warren/sync/1', large, options).catch(() => {})))
      }
    ],
    [
      'a set of its own beyond a cap',
      async () => {
        const labels = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`k${at}`, 'v']))
        const puts = [hostile.record('large', labels)]
        for (const bytes of hostile.step({ type: 'local-change', puts, deletes: [] })) await hostile.shout(bytes)
      }
    ],
    [
      'heads of others, forged',
      async () => {
        for (const heard of hostile.heard) {
          const head = hostile.forged(heard, { epoch: 2n ** 60n, seq: 1n, count: 0 })
          await hostile.say({ case: 'head', value: head })
          const value = create(registryPb.DeltaSchema, {
            owner: rawKeyOf(heard.owner),
            epoch: 2n ** 60n,
            toSeq: 1n,
            head
          })
          await hostile.say({ case: 'delta', value })
        }
      }
    ],
    [
      'garbage',
      async () => {
        for (let at = 0; at < 200; at += 1) await hostile.shout(randomBytes(1 + (at % 60) * 1_000))
      }
    ]
  ]
  let made = 0
  for (const [what, attack] of attacks) {
    let over = false
    const attacking = attack().finally(() => {
      over = true
    })
    const tookMs: number[] = []
    do {
      tookMs.push(await replicates(b, [a, c], `dev.during.n${made}.default`))
      made += 1
    } while (!over && tookMs.length < 50)
    await attacking
    const slowest = Math.round(Math.max(...tookMs))
    t.diagnostic(`${what}: the slowest of ${tookMs.length} honest registrations was known to all after ${slowest} ms`)
    for (const agent of honest)
      assert.equal(await kept(agent), before, `${what}: what ${agent.name} holds of the others`)
  }

  for (const agent of honest) {
    await waitFor(
      async () => (await metric(agent, 'warren_registry_quarantined')) === 1,
      `${agent.name} to quarantine it`
    )
    assert.equal(await epochs(agent), epochsBefore)
    assert.match(agent.program.stderr, /registry alarm: invalid-set/)
    const known = await registrationsOn(agent)
    assert.ok(!known.some(({ address }) => address.startsWith('dev.hostile.')), 'its own records are hidden')
    assert.equal(known.filter(({ address }) => address.startsWith('dev.during.')).length, made)
    await waitFor(async () => {
      const others = [...(await membersOf(agent))].filter(([name]) => name !== 'mallory')
      return others.length === 3 && others.every(([, { state }]) => /self|connected/.test(state))
    }, `all healthy hosts to be there on ${agent.name}`)
    assert.ok((await metric(agent, 'warren_limit_hits_total', 'registry_labels')) > 0)
    assert.ok((await metric(agent, 'warren_limit_hits_total', 'mesh_request_bytes')) > 0)
  }
  const hits = await Promise.all(honest.map(agent => metric(agent, 'warren_limit_hits_total', 'registry_gossip_rate')))
  t.diagnostic(`heads that were not looked at: ${hits.join(', ')}`)
})
