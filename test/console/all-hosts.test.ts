import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { AgentClient } from '../../src/client/index.ts'
import { MeshEvents, MeshFlows } from '../../src/console/data/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import { fakeApi } from '../cli/fake-api.ts'
import { scopeOf } from '../harness/index.ts'

type AdminHandlers = NonNullable<Parameters<typeof fakeApi>[1]['admin']>

const signal = new AbortController().signal

async function agentWith(t: TestContext, admin: AdminHandlers): Promise<AgentClient> {
  const { runtimeDir } = await fakeApi(t, { admin })
  const agent = new AgentClient({ runtimeDir })
  scopeOf(t).defer(() => agent.close())
  return agent
}

function flow(direction: string, id = 'f1') {
  return { id, direction, source: 'dev.shop.cart.default.a', destination: 'dev.web.site.default.b', protocol: 1 }
}

const answered = (machine: string) => ({ machine, state: 'answered' })
const nothingHappened: AdminHandlers['watchEvents'] = async function* () {}

test('a flow that both ends carry is one flow of two hosts, and hosts without an answer are named with the reason', async t => {
  const agent = await agentWith(t, {
    observe: async function* () {
      yield { hosts: [{ ...answered('b'), flows: [flow('inbound')], flowsTotal: 4 }] }
      yield {
        hosts: [
          { ...answered('a'), flows: [flow('outbound'), flow('outbound', 'f2')], flowsTotal: 2 },
          { ...answered('c'), problem: 'too many questions' },
          { machine: 'd', state: 'suspect' },
          { machine: 'e', state: 'silent' },
          { machine: 'f', state: 'cannot-say' }
        ],
        finished: true
      }
    }
  })
  const { flows, leftOut, asked } = await new MeshFlows(agent, Date.now).view()
  assert.deepEqual(
    flows.map(({ id, direction, hosts }) => [id, direction, hosts]),
    [
      ['f1', 'outbound', ['b', 'a']],
      ['f2', 'outbound', ['a']]
    ]
  )
  assert.equal(leftOut, 3)
  assert.deepEqual([asked?.hosts, asked?.isOver, asked?.problem], [6, true, ''])
  assert.deepEqual(asked?.missing, [
    { machine: 'c', why: 'too many questions' },
    { machine: 'd', why: 'is away: it does not answer' },
    { machine: 'e', why: 'has not answered in time' },
    { machine: 'f', why: 'cannot say: its program is older' }
  ])
})

test('all hosts are asked once, however often and from however many pages a browser asks', async t => {
  let questions = 0
  const agent = await agentWith(t, {
    observe: async function* () {
      questions += 1
      yield { hosts: [answered('a')], finished: true }
    }
  })
  const flows = new MeshFlows(agent, Date.now)
  for (let round = 0; round < 5; round += 1) await Promise.all(Array.from({ length: 10 }, () => flows.view()))
  assert.equal(questions, 1)
})

test('a page that chooses again and again does not have the hosts asked as often, and says so', async t => {
  let questions = 0
  const agent = await agentWith(t, {
    watchEvents: nothingHappened,
    observe: async function* () {
      questions += 1
      yield { hosts: [answered('b')], finished: true }
    }
  })
  const events = new MeshEvents(agent, Date.now)
  const problems: string[] = []
  for (let at = 0; at < 24; at += 1) problems.push((await events.events('a', 1 + at, '', signal)).asked.problem)
  assert.ok(questions <= 8, `${questions} questions`)
  assert.equal(problems[0], '')
  assert.match(problems.at(-1) ?? '', /asked again in some seconds/)
})

test('a page does not wait for hosts that are slow: it gets what others have said so far', async t => {
  const gate = new EventTarget()
  const agent = await agentWith(t, {
    observe: async function* () {
      yield { hosts: [{ ...answered('a'), flows: [flow('outbound')], flowsTotal: 1 }] }
      await once(gate, 'open')
      yield { hosts: [{ ...answered('b'), flows: [flow('inbound')], flowsTotal: 1 }], finished: true }
    }
  })
  const mesh = new MeshFlows(agent, Date.now)
  const early = await mesh.view()
  assert.deepEqual([early.asked?.isOver, early.asked?.hosts, early.flows.length], [false, 1, 1])
  gate.dispatchEvent(new Event('open'))
  let late = await mesh.view()
  while (late.asked?.isOver !== true) late = await mesh.view()
  assert.deepEqual(late.flows[0]?.hosts, ['a', 'b'])
})

test('a host that may not ask shows what happened here, and why it is not all', async t => {
  const agent = await agentWith(t, {
    watchEvents: async function* () {
      yield {
        events: [{ name: 'flow-refused', atMs: 5n, fields: '{"source":"s","destination":"d","code":"UNAUTHORIZED"}' }]
      }
    },
    observe: async function* () {
      yield* []
      throw new WarrenError(ErrorCode.NotAdmin, 'this host is none of an admin')
    }
  })
  const mesh = new MeshEvents(agent, Date.now)
  const { refusals, asked } = await mesh.refusals('a', signal)
  assert.deepEqual(
    refusals.map(({ source, hosts, count }) => [source, hosts, count]),
    [['s', ['a'], 1]]
  )
  assert.equal(asked.problem, 'this host is none of an admin')
})

test('what happened here is as this host knows it, what happened elsewhere as others tell it, and text that is no JSON stays text', async t => {
  const wanted: Array<{ names: string[]; without: string[] }> = []
  const agent = await agentWith(t, {
    watchEvents: async function* ({ names }) {
      const all = [
        { name: 'registration-added', atMs: 10n, fields: '{"uid":1000}' },
        { name: 'question-asked', atMs: 11n, fields: '{"machine":"a"}' }
      ]
      yield { events: all.filter(({ name }) => names.length === 0 || names.includes(name)) }
    },
    observe: async function* ({ ask }) {
      if (ask.case === 'events') wanted.push({ names: ask.value.names, without: ask.value.without })
      const event = { name: 'registration-added', atMs: 2n ** 62n, fields: 'nonsense' }
      yield {
        hosts: [
          { ...answered('a'), events: { events: [{ name: 'registration-added', atMs: 10n, fields: '{}' }], total: 9 } },
          { ...answered('b'), events: { events: [event], total: 3 } }
        ],
        finished: true
      }
    }
  })
  const events = await new MeshEvents(agent, Date.now).events('a', 1, '', signal)
  assert.deepEqual(
    events.events.map(({ machine, name, fields }) => [machine, name, fields]),
    [
      ['b', 'registration-added', [['unreadable', 'nonsense']]],
      ['a', 'registration-added', [['uid', '1000']]]
    ]
  )
  assert.equal(events.leftOut, 2)
  const questions = await new MeshEvents(agent, Date.now).events('a', 1, 'question-asked', signal)
  assert.deepEqual(
    questions.events.map(({ name }) => name),
    ['question-asked']
  )
  assert.deepEqual(wanted, [
    { names: [], without: ['question-asked'] },
    { names: ['question-asked'], without: [] }
  ])
})

test('what one host says cannot spoil a page, nor displace what others say', async t => {
  const hostile = [
    '{"source":{"toString":1},"destination":["x"],"code":7}',
    '{"source":"\\ud800","destination":"d"}',
    JSON.stringify({ source: `${'a'.repeat(1_023)}\u{1f600}`, destination: 'd' })
  ]
  const many = Array.from({ length: 2_000 }, (_, at) => ({
    name: 'flow-refused',
    atMs: 2n ** 62n,
    fields: hostile[at % hostile.length] ?? ''
  }))
  const agent = await agentWith(t, {
    watchEvents: nothingHappened,
    observe: async function* () {
      const event = { name: 'flow-refused', atMs: 5n, fields: '{"source":"s","destination":"d","code":"UNAUTHORIZED"}' }
      yield {
        hosts: [
          { ...answered('b'), events: { events: many, total: many.length } },
          { ...answered('c'), events: { events: [event], total: 1 } }
        ],
        finished: true
      }
    }
  })
  const mesh = new MeshEvents(agent, () => 1_000)
  const { refusals, leftOut } = await mesh.refusals('a', signal)
  assert.ok(refusals.some(({ source, hosts }) => source === 's' && hosts.includes('c')))
  // As the links of the page do.
  for (const { source, destination } of refusals) encodeURIComponent(source + destination)
  assert.ok(refusals.every(({ lastAtMs }) => lastAtMs <= 1_000))
  assert.equal(leftOut, 1_700)
  const { events } = await mesh.events('a', 1, '', signal)
  assert.ok(events.some(({ machine }) => machine === 'c'))
})

test('a host that names one flow again and again is one of its hosts', async t => {
  const agent = await agentWith(t, {
    observe: async function* () {
      yield { hosts: [{ ...answered('a'), flows: Array.from({ length: 50 }, () => flow('outbound')), flowsTotal: 50 }] }
    }
  })
  const { flows } = await new MeshFlows(agent, Date.now).view()
  assert.deepEqual(flows[0]?.hosts, ['a'])
})

test('all hosts are asked by the client that asks nobody for a signature', async t => {
  const asked: string[] = []
  const observe = (name: string): NonNullable<AdminHandlers['observe']> =>
    async function* () {
      asked.push(name)
      yield { hosts: [answered('b')], finished: true }
    }
  const agent = await agentWith(t, { watchEvents: nothingHappened, observe: observe('by a person') })
  const asks = await agentWith(t, { observe: observe('by the console') })
  await new MeshEvents(agent, Date.now, asks).refusals('a', signal)
  assert.deepEqual(asked, ['by the console'])
})
