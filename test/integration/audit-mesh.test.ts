import assert from 'node:assert/strict'
import { once } from 'node:events'
import test from 'node:test'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { type Scope, scopeOf, startPair, TestAgent, waitFor } from '../harness/index.ts'
import { makeAdmin } from './support/admins.ts'

const SITE = 'dev.web.site.default'
const CART = 'dev.shop.cart.default'

interface HostRecords {
  readonly machine: string
  readonly state: string
  readonly problem: string
  readonly total: number
  readonly records: ReadonlyArray<{ readonly event: string; readonly fields: Readonly<Record<string, unknown>> }>
}

function clientOf(scope: Scope, agent: TestAgent): AgentClient {
  const client = new AgentClient({ runtimeDir: agent.runtimeDir })
  scope.defer(() => void client.close())
  return client
}

interface Asked {
  readonly code: number | null
  readonly hosts: HostRecords[]
  readonly stderr: string
}

/** The answers of all hosts: a busy one is suspected now and then, and is asked again. */
async function asked(agent: TestAgent, ...args: string[]): Promise<Asked> {
  const command = ['audit', 'show', '--mesh', '--timeout', '1m', ...args, '--json']
  let found: Asked | undefined
  await waitFor(async () => {
    const { code, stdout, stderr } = await agent.attempt(command)
    const { hosts } = JSON.parse(stdout) as { hosts: HostRecords[] }
    found = { code, hosts, stderr }
    return hosts.every(({ state }) => state === 'answered')
  }, 'all hosts to answer')
  assert.ok(found !== undefined)
  return found
}

const flowsOf = (hosts: readonly HostRecords[]): string[] =>
  hosts.flatMap(({ machine, records }) =>
    records.map(({ event, fields }) => `${machine} ${event} ${String(fields['source'])}`)
  )

test('an owner and an observer read the audit logs of all hosts, each the fields of its role, and every host notes who asked', async t => {
  const scope = scopeOf(t)
  const [a, b] = await startPair(scope, { args: ['--audit', 'on'] })
  const c = new TestAgent(scope, { name: 'c', args: [] })
  await c.start(['--join', (await a.cli('token', 'create', 'c')).trim()])
  await Promise.all([a, b, c].map(agent => agent.sees(2)))
  await makeAdmin(a, c, 'carol', 'observer')
  await a.cli('allow', CART, SITE, '--wait')
  await listen(SITE, { client: clientOf(scope, b) }, socket => {
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  await a.knows(SITE)
  const client = clientOf(scope, a)
  const socket = await connect(SITE, { client, as: CART })
  socket.on('error', () => {})
  socket.write('hello')
  await once(socket, 'data')
  await assert.rejects(connect(SITE, { client, as: 'dev.shop.other.default' }), { code: 'UNAUTHORIZED' })

  const flows = ['--type', 'flow-opened', '--type', 'flow-refused', '--source', 'dev.shop.*.*']
  const wanted = [`a flow-opened ${CART}.a`, 'a flow-refused dev.shop.other.default.a', `b flow-opened ${CART}.a`]
  // The agents write their records a tenth of a second later.
  await waitFor(async () => {
    const found = flowsOf((await asked(a, ...flows)).hosts)
    return wanted.every(line => found.includes(line))
  }, 'the records of the flows on both hosts')

  const owner = await asked(a, ...flows)
  assert.equal(owner.code, 3, 'one host has no audit log')
  assert.match(owner.stderr, /c: it has no audit log: `warren up --audit on`/)
  const observer = await asked(c, ...flows)
  assert.deepEqual(flowsOf(observer.hosts), flowsOf(owner.hosts))
  const refusal = ({ hosts }: { hosts: HostRecords[] }) =>
    hosts.flatMap(({ records }) => records).find(({ event }) => event === 'flow-refused')?.fields
  assert.match(String(refusal(owner)?.['reason']), /no rule and no whitelist entry allows it/)
  assert.equal(refusal(owner)?.['code'], 'UNAUTHORIZED')
  assert.deepEqual([refusal(observer)?.['reason'], refusal(observer)?.['code']], [undefined, 'UNAUTHORIZED'])
  // Nor does any record name a process or a user.
  for (const { hosts } of [owner, observer, await asked(a), await asked(c)])
    for (const { fields } of hosts.flatMap(({ records }) => records))
      for (const name of ['uid', 'pid', 'executable', 'sourceProcess', 'destinationProcess'])
        assert.ok(!(name in fields), name)

  // Who asked is in the log of each host; only owners see it from elsewhere.
  const questions = (await asked(a, '--type', 'question-asked')).hosts.find(({ machine }) => machine === 'b')?.records
  assert.ok(questions?.some(({ fields }) => fields['machine'] === 'c' && fields['question'] === 'audit'))
  assert.equal(
    (await asked(c, '--type', 'question-asked', '--type', 'rule-changed')).hosts.flatMap(({ records }) => records)
      .length,
    0
  )
  assert.match((await b.attempt(['audit', 'show', '--mesh'])).stderr, /NOT_ADMIN/)
  assert.match(
    await a.cli('audit', 'show', '--mesh', '--type', 'rule-changed').catch(err => String(err)),
    /a +20.*rule-changed +change=allow/
  )
  assert.match(
    (await a.attempt(['audit', 'show', '--mesh', '--type', 'rule'])).stderr,
    /INVALID_ARGUMENT: no record has the name/
  )

  // What hosts remember needs no audit log.
  const refused = ['events', '--mesh', '--timeout', '1m', '--type', 'flow-refused', '--since', '1h']
  await waitFor(async () => {
    const { code, stdout } = await c.attempt(refused)
    return code === 0 && /^a +20.* flow-refused .*source=dev\.shop\.other\.default\.a .*code=UNAUTHORIZED/m.test(stdout)
  }, 'the refused attempt at a, as an observer sees it')
  const event = ({ stdout }: { stdout: string }) =>
    (JSON.parse(stdout) as { hosts: Array<{ events: HostRecords['records'] }> }).hosts[0]?.events[0]?.fields
  const [mine, theirs] = [
    event(await a.attempt([...refused, '--json'])),
    event(await c.attempt([...refused, '--json']))
  ]
  assert.match(String(mine?.['reason']), /no rule and no whitelist entry allows it/)
  for (const field of [theirs?.['reason'], theirs?.['sourceProcess'], mine?.['sourceProcess']])
    assert.equal(field, undefined)
  assert.match((await b.attempt(['events', '--mesh'])).stderr, /NOT_ADMIN/)
  assert.match((await a.attempt(['events', '--mesh', '--type', 'rule'])).stderr, /no event "rule" is remembered/)
  assert.match((await a.attempt(['events', '--timeout', '1s'])).stderr, /--timeout is for --mesh/)

  await waitFor(async () => {
    const { code, stdout } = await c.attempt(['services', '--mesh', '--timeout', '1m'])
    return code === 0 && /dev\.web\.site\.default\.b +tcp +passing +b /.test(stdout)
  }, 'the registration of b, as b says it')
  assert.doesNotMatch((await c.attempt(['services', 'dev.db.*.*', '--mesh'])).stdout, /dev\.web/)
})
