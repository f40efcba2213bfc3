import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { HOST_VIEW } from '../../src/attest/index.ts'
import { ErrorCode, WarrenError } from '../../src/core/index.ts'
import type { EventFields, EventName } from '../../src/events/index.ts'
import { parseAddress } from '../../src/identity/index.ts'
import { type Cut, type CutKind, codeOf, cutOf, isDone } from '../../src/proxy/flow/cut.ts'
import { Flow } from '../../src/proxy/flow/flow.ts'
import { flowIdFrom } from '../../src/proxy/flow/flow-id.ts'
import { FlowTable, type FlowTableOptions } from '../../src/proxy/flow/table.ts'
import { resolveLimits } from '../../src/proxy/limits.ts'
import { recordingMetrics } from '../harness/recording-metrics.ts'

const SOURCE = parseAddress('dev.test.client.default.m')
const KINDS: readonly CutKind[] = [
  'reset',
  'policy',
  'trust',
  'registration',
  'shutdown',
  'link',
  'refused',
  'server',
  'done'
]
const POLICY: Cut = { kind: 'policy', text: 'no longer allowed' }
const code = (expected: string) => (err: unknown) => WarrenError.is(err, expected as ErrorCode)

interface Wanted {
  readonly direction?: Flow['direction']
  readonly protocol?: Flow['protocol']
}

function options({ direction = 'outbound', protocol = 'tcp' }: Wanted = {}) {
  return {
    id: '0123456789abcdef',
    direction,
    source: SOURCE,
    sourceId: 'client',
    sourceMachine: 'm',
    protocol,
    carrier: 'direct'
  } as const
}

/** A table with what it counts, logs and emits, and a clock that stands still. */
function tableOf(limits: Parameters<typeof resolveLimits>[0] = {}, userOf?: FlowTableOptions['userOf']) {
  const { metrics, counts } = recordingMetrics()
  const lines: string[] = []
  const events: EventName[] = []
  const line = (message: string): void => void lines.push(message)
  const log = { error: line, warn: line, info: line, debug: line, child: () => log }
  const clock = { wallMs: () => 5_000, monotonicMs: () => 1_000 }
  const emit = <N extends EventName>(name: N, _: EventFields[N]): void => void events.push(name)
  const table = new FlowTable({ limits: resolveLimits(limits), log, clock, metrics, events: { emit }, userOf })
  return { table, counts, lines, events }
}

function to(flow: Flow, registrationId: string): Flow {
  flow.destination = { registrationId, address: parseAddress('dev.test.server.default.m') }
  return flow
}

describe('a cut', () => {
  it('has a code of its own for each reason, by which the other agent knows it again', () => {
    assert.equal(new Set(KINDS.map(codeOf)).size, KINDS.length)
    for (const kind of KINDS) {
      assert.equal(cutOf(codeOf(kind)).kind, kind)
      assert.equal(isDone(codeOf(kind)), kind === 'done')
      assert.notEqual(codeOf(kind), 0, 'a stream that is reset with NO_ERROR looks cleanly ended')
    }
  })

  it('with a code that nobody knows is the loss of the link, and no end in order', () => {
    for (const unknown of [0, 1, 0x57_41_00_ff]) assert.equal(cutOf(unknown).kind, 'link')
  })

  it('keeps its first reason', () => {
    const flow = new Flow({ ...options(), openedAtMs: 0, startedAtMs: 0 })
    flow.cut(POLICY)
    flow.cut({ kind: 'shutdown', text: 'the agent stops' })
    assert.equal(flow.cutBy, POLICY)
    assert.match(String(flow.signal.reason), /no longer allowed/)
  })

  it('is UNAUTHORIZED to a waiting source if the policy made it, FLOW_CUT else, or what it says itself', () => {
    for (const kind of KINDS) {
      const flow = new Flow({ ...options(), openedAtMs: 0, startedAtMs: 0 })
      flow.cut({ kind, text: 'why' })
      assert.ok(code(kind === 'policy' ? 'UNAUTHORIZED' : 'FLOW_CUT')(flow.signal.reason), kind)
    }
    const flow = new Flow({ ...options(), openedAtMs: 0, startedAtMs: 0 })
    flow.cut({ kind: 'registration', text: 'why', code: ErrorCode.DestinationNotFound })
    assert.ok(code('DESTINATION_NOT_FOUND')(flow.signal.reason))
  })
})

describe('the table of flows', () => {
  it('takes as many flows as an agent may have and no more, until one ends', () => {
    const { table } = tableOf({ flows: 2 })
    const [first] = [table.enter(options()), table.enter(options())]
    assert.throws(() => table.enter(options()), code('LIMIT_EXCEEDED'))
    table.end(first, 'over')
    table.enter(options())
    assert.throws(() => table.enter(options()), code('LIMIT_EXCEEDED'))
  })

  it('takes as many flows as each registration of this host may have, until one ends', () => {
    const { table } = tableOf({ flowsPerWorkload: 2 })
    const charged = (): Flow => {
      const flow = to(table.enter(options()), 'server')
      table.charge(flow, ['client', 'server'])
      return flow
    }
    const [first] = [charged(), charged()]
    assert.throws(charged, code('LIMIT_EXCEEDED'))
    table.end(first, 'over')
    charged()
    assert.throws(charged, code('LIMIT_EXCEEDED'))
    // Charged for another registration, it takes no place of these.
    table.charge(to(table.enter(options()), 'other'), ['another', undefined])
  })

  it('counts a flow for the instance that it goes to, and no longer for one that did not take it', () => {
    const { table } = tableOf()
    const flow = to(table.enter(options()), 'one')
    table.charge(flow, ['client'])
    assert.deepEqual([table.activeTo('one'), table.activeTo('two')], [1, 0])
    to(flow, 'two')
    table.charge(flow, ['client'])
    assert.deepEqual([table.activeTo('one'), table.activeTo('two')], [0, 1])
    to(flow, 'three')
    table.end(flow, 'over')
    assert.deepEqual([table.activeTo('one'), table.activeTo('two'), table.activeTo('three')], [0, 0, 0])
  })

  it('is reset on request by the user of an end, and by no other', () => {
    const users = new Map([['client', { uid: 1000, view: HOST_VIEW }]])
    const { table } = tableOf({}, id => users.get(id))
    const flow = to(table.enter(options()), 'server')
    table.charge(flow, ['client'])
    table.opened(flow)
    table.reset({ uid: 1001, view: HOST_VIEW }, flow.id)
    assert.equal(table.endOf({ uid: 1001, view: HOST_VIEW }, flow.id).state, 'unknown')
    assert.ok(!flow.signal.aborted)
    assert.equal(table.endOf({ uid: 1000, view: HOST_VIEW }, flow.id).state, 'open')
    // Its registration has ended.
    users.clear()
    table.reset({ uid: 1000, view: HOST_VIEW }, flow.id)
    assert.equal(flow.cutBy?.kind, 'reset')
    table.finish(flow, flow.cutBy)
    assert.deepEqual(table.endOf({ uid: 1000, view: HOST_VIEW }, flow.id), {
      state: 'cut',
      kind: 'reset',
      reason: 'reset by the workload'
    })
  })

  it('limits the datagrams of a registration together, also when one of its flows has ended', () => {
    const { table } = tableOf({ datagramsPerSecond: 3 })
    const charged = (): Flow => {
      const flow = to(table.enter(options({ protocol: 'udp' })), 'server')
      table.charge(flow, ['client'])
      return flow
    }
    const passes = (flow: Flow): boolean => flow.buckets.every(take => take())
    const [one, other] = [charged(), charged()]
    assert.deepEqual([passes(one), passes(other), passes(one), passes(other)], [true, true, true, false])
    table.end(one, 'over')
    const third = charged()
    assert.deepEqual([passes(other), passes(third)], [false, false])
  })

  it('says why it takes none once it is closed: to its own workloads NOT_READY, to other hosts unreachable', () => {
    const { table } = tableOf()
    table.close('the agent stops')
    assert.throws(() => table.enter(options({ direction: 'outbound' })), code('NOT_READY'))
    assert.throws(() => table.enter(options({ direction: 'local' })), code('NOT_READY'))
    assert.throws(() => table.enter(options({ direction: 'inbound' })), code('DESTINATION_UNREACHABLE'))
  })

  it('reviews what is being opened as what is open, and each once it is cut no more', () => {
    const { table } = tableOf()
    const [opening, open, kept] = [table.enter(options()), table.enter(options()), table.enter(options())]
    table.opened(open)
    assert.equal(
      table.review(flow => (flow === kept ? undefined : POLICY)),
      2
    )
    assert.deepEqual([opening.cutBy, open.cutBy, kept.cutBy], [POLICY, POLICY, undefined])
    const asked: Flow[] = []
    assert.equal(
      table.review(flow => {
        asked.push(flow)
        return undefined
      }),
      0
    )
    assert.deepEqual(asked, [kept])
  })

  it('writes, counts and tells the end of a flow once, as an end or as a failure', () => {
    const { table, counts, lines, events } = tableOf()
    const ended = table.enter(options())
    table.opened(ended)
    for (const _ of [1, 2]) table.finish(ended, undefined)
    const cut = table.enter(options())
    table.opened(cut)
    for (const _ of [1, 2]) table.finish(cut, POLICY)
    // Cut while it was being opened.
    const refused = table.enter(options())
    for (const _ of [1, 2]) table.end(refused, 'no longer allowed')
    assert.deepEqual(Object.fromEntries(counts), {
      'warren_flows_opened_total{direction="outbound",protocol="tcp"}': 2,
      'warren_flows_ended_total{direction="outbound",reason="ended"}': 1,
      'warren_flows_ended_total{direction="outbound",reason="policy"}': 1,
      'warren_flows_failed_total{direction="outbound",code="FLOW_CUT"}': 1
    })
    assert.deepEqual(lines, ['flow ended', 'flow ended', 'flow ended'])
    assert.deepEqual(events, ['flow-opened', 'flow-ended', 'flow-opened', 'flow-ended', 'flow-refused'])
  })

  it('has totals of what is under way and of what is over, the same however often they are asked for', () => {
    const { table } = tableOf()
    const [over, open] = [table.enter(options()), table.enter(options({ direction: 'inbound', protocol: 'udp' }))]
    for (const flow of [over, open]) table.opened(flow)
    Object.assign(over, { bytesIn: 1, bytesOut: 20 })
    Object.assign(open, { bytesIn: 300, bytesOut: 4_000, datagramsIn: 5, datagramsOut: 6, waitingBytes: () => 70 })
    open.drops.rate = 7
    open.drops.full = 1
    assert.equal(open.dropped, 8)
    table.finish(over, undefined)
    for (const _ of [1, 2]) {
      const { bytes, datagrams, drops, flows, waitingBytes } = table.totals()
      assert.deepEqual(bytes, { tcp: { in: 1, out: 20 }, udp: { in: 300, out: 4_000 } })
      assert.deepEqual(datagrams, { in: 5, out: 6 })
      assert.deepEqual(drops, { full: 1, gone: 0, 'too large': 0, oversize: 0, rate: 7 })
      assert.deepEqual([flows.inbound.udp, flows.outbound.tcp, waitingBytes], [1, 0, 70])
    }
  })

  it('wakes each waiter for a flow to leave', async () => {
    const { table } = tableOf()
    const [one, other] = [table.enter(options()), table.enter(options())]
    let woken = 0
    for (const _ of [1, 2]) void table.left().then(() => (woken += 1))
    table.end(one, 'over')
    await new Promise(setImmediate)
    assert.equal(woken, 2)
    void table.left().then(() => (woken += 1))
    await new Promise(setImmediate)
    assert.equal(woken, 2)
    table.checked(other)
    await new Promise(setImmediate)
    assert.equal(woken, 3)
  })

  it('takes over the id that another agent gave, if it is one: it goes to the log', () => {
    assert.equal(flowIdFrom('0123456789abcdef'), '0123456789abcdef')
    for (const bad of ['0123456789abcdef\nforged line', '0123456789ABCDEF', ' 0123456789abcdef', '', 7, undefined]) {
      assert.match(flowIdFrom(bad), /^[0-9a-f]{16}$/)
    }
    assert.notEqual(flowIdFrom(undefined), flowIdFrom(undefined))
  })
})
