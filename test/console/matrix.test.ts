import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { AgentClient } from '../../src/client/index.ts'
import { MAX_NAMES, matrixView } from '../../src/console/data/matrix.ts'
import { parsePattern } from '../../src/identity/index.ts'
import { fakeApi } from '../cli/fake-api.ts'
import { scopeOf } from '../harness/index.ts'

interface FakeRule {
  readonly id: string
  readonly effect: string
  readonly source: string
  readonly destination: string
  readonly protocols?: number[]
}

const SIGNAL = new AbortController().signal

async function agentWith(t: TestContext, addresses: readonly string[], rules: FakeRule[], revoked: string[] = []) {
  const services = addresses.map(address => ({ address, protocols: address.includes('.client.') ? [] : [1] }))
  const { runtimeDir } = await fakeApi(t, {
    workload: { listServices: async () => ({ services }) },
    admin: {
      getPolicy: async () => ({
        version: 7n,
        rules,
        revocations: revoked.map((pattern, at) => ({ id: `x${at}`, pattern, createdAtMs: 1n }))
      })
    }
  })
  const agent = new AgentClient({ runtimeDir })
  scopeOf(t).defer(() => agent.close())
  return agent
}

const ALL = { sources: '', destinations: '', protocol: 'tcp' } as const

test('a cell of the matrix has what the policy says, and the rule that says it', async t => {
  const addresses = [
    'dev.a.client.x.m1',
    'dev.b.client.x.m1',
    'dev.c.client.x.m1',
    'dev.d.client.x.m1',
    'prod.e.client.x.m1'
  ]
  const agent = await agentWith(
    t,
    [...addresses, 'dev.web.site.x.m1', 'dev.web.site.x.m2'],
    [
      { id: 'r1', effect: 'allow', source: 'dev.a.*.*', destination: 'dev.web.*.*' },
      { id: 'r2', effect: 'allow', source: 'dev.b.*.*', destination: 'dev.web.*.*' },
      { id: 'r3', effect: 'deny', source: 'dev.b.*.*', destination: 'dev.web.*.*', protocols: [1] },
      { id: 'r4', effect: 'allow', source: 'dev.c.*.*', destination: 'dev.web.*.*.m2' },
      { id: 'r5', effect: 'audit', source: 'dev.d.*.*', destination: '*.*.*.*' }
    ]
  )
  const { sources, destinations, cells, version } = await matrixView(agent, ALL, Date.now(), SIGNAL)
  assert.deepEqual(destinations, ['dev.web.site.x'])
  const rows = sources.map((name, row) => [name, cells[row]?.[0]?.verdict, cells[row]?.[0]?.rule])
  assert.deepEqual(rows, [
    ['dev.a.client.x', 'allowed', 'r1'],
    ['dev.b.client.x', 'denied', 'r3'],
    ['dev.c.client.x', 'mixed', ''],
    ['dev.d.client.x', 'audited', 'r5'],
    ['dev.web.site.x', 'denied', ''],
    ['prod.e.client.x', 'denied', '']
  ])
  assert.match(cells[5]?.[0]?.text ?? '', /scopes differ/)
  assert.equal(version, 7)
  // By another protocol there is another answer, and nobody serves it.
  assert.deepEqual((await matrixView(agent, { ...ALL, protocol: 'udp' }, Date.now(), SIGNAL)).destinations, [])
})

test('what is revoked is denied in the matrix too', async t => {
  const rules = [{ id: 'r1', effect: 'allow', source: '*.*.*.*', destination: 'dev.*.*.*' }]
  const agent = await agentWith(t, ['dev.a.client.x.m1', 'dev.web.site.x.m1'], rules, ['dev.a.*.*'])
  const { cells } = await matrixView(agent, { ...ALL, sources: 'dev.a.*.*' }, Date.now(), SIGNAL)
  assert.deepEqual([cells[0]?.[0]?.verdict, cells[0]?.[0]?.rule], ['denied', 'x0'])
})

test('a matrix is bounded, says what it leaves out, and shows what a pattern names', async t => {
  const addresses = Array.from({ length: 100 }, (_, at) => `dev.g${at}.s.x.m${at % 3}`)
  const agent = await agentWith(t, addresses, [])
  const all = await matrixView(agent, ALL, Date.now(), SIGNAL)
  assert.deepEqual([all.sources.length, all.destinations.length, all.leftOutSources], [MAX_NAMES, MAX_NAMES, 60])
  const some = await matrixView(agent, { ...ALL, destinations: 'dev.{g98,g99}.*.*' }, Date.now(), SIGNAL)
  assert.deepEqual(some.destinations, ['dev.g98.s.x', 'dev.g99.s.x'])
  assert.equal(some.leftOutDestinations, 0)
  await assert.rejects(matrixView(agent, { ...ALL, sources: 'dev' }, Date.now(), SIGNAL), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => parsePattern('dev'))
})
