import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseAddress } from '../../src/identity/index.ts'
import type { Cut, CutKind } from '../../src/proxy/flow/cut.ts'
import { Flow } from '../../src/proxy/flow/flow.ts'
import type { JoiningLeg, LegEvents } from '../../src/proxy/flow/leg.ts'
import { relay } from '../../src/proxy/relay/relay.ts'

const POLICY: Cut = { kind: 'policy', text: 'no longer allowed' }
const RESET: Cut = { kind: 'reset', text: 'reset by the workload' }

/** A leg that does nothing, and keeps what it is asked to do. */
class FakeLeg implements JoiningLeg {
  readonly copies = false
  readonly deliveredBytes = 0
  readonly waitingBytes = 0
  readonly asked: string[] = []
  hasRoom = true
  #events: LegEvents | undefined

  get events(): LegEvents {
    assert.ok(this.#events !== undefined)
    return this.#events
  }

  subscribe(events: LegEvents): void {
    this.#events = events
  }

  send(bytes: Buffer, release?: () => void): boolean {
    this.asked.push(`send ${bytes}`)
    release?.()
    return this.hasRoom
  }

  end = (): void => void this.asked.push('end')
  pause = (): void => void this.asked.push('pause')
  resume = (): void => void this.asked.push('resume')
  close = (): void => void this.asked.push('close')
  delivered(): void {}
  limit(): void {}
  abort = (kind: CutKind): void => void this.asked.push(`abort ${kind}`)
  start = (offset: number | undefined): void => void this.asked.push(`start ${offset}`)

  /** What it was asked since this was last called. */
  news(): string[] {
    return this.asked.splice(0)
  }
}

function joined() {
  const source = parseAddress('dev.test.client.default.m')
  const parties = { source, sourceId: undefined, sourceMachine: 'm' }
  const times = { openedAtMs: 0, startedAtMs: 0 }
  const flow = new Flow({ id: 'f', direction: 'outbound', ...parties, protocol: 'tcp', carrier: 'direct', ...times })
  const [client, server] = [new FakeLeg(), new FakeLeg()]
  const joint = relay(flow, client, server)
  for (const leg of [client, server]) assert.deepEqual(leg.news(), ['resume'])
  return { flow, client, server, joint }
}

describe('the two legs of a flow', () => {
  for (const first of ['client', 'server'] as const) {
    it(`go on in one direction when the ${first} has ended the other, until that has ended as well`, async () => {
      const { flow, joint, ...legs } = joined()
      const [one, other] = first === 'client' ? [legs.client, legs.server] : [legs.server, legs.client]
      one.events.data(Buffer.from('question'))
      one.events.ended()
      assert.deepEqual(other.news(), ['send question', 'end'])
      other.events.finished()
      assert.ok(!joint.isClosed)
      other.events.data(Buffer.from('answer'))
      assert.deepEqual(one.news(), ['send answer'])
      other.events.ended()
      assert.ok(!joint.isClosed, 'its end has not been passed on')
      one.events.finished()
      assert.deepEqual([one.news(), other.news()], [['end', 'close'], ['close']])
      assert.equal(await joint.over, undefined)
      assert.deepEqual([flow.bytesOut, flow.bytesIn], first === 'client' ? [8, 6] : [6, 8])
    })
  }

  it('are read on when the other has room again, and not before', () => {
    const { client, server } = joined()
    server.hasRoom = false
    assert.equal(client.events.data(Buffer.from('1')), false)
    assert.equal(server.events.data(Buffer.from('2')), true, 'the other direction goes on')
    assert.deepEqual([client.news(), server.news()], [['send 2'], ['send 1']])
    server.events.drained()
    assert.deepEqual(client.news(), ['resume'])
    server.events.drained()
    assert.deepEqual([client.news(), server.news()], [[], []])
  })

  it('are both aborted when one of them fails, for its reason', async () => {
    const { client, server, joint } = joined()
    server.events.failed(RESET)
    client.events.failed({ kind: 'link', text: 'it has failed, too' })
    assert.deepEqual([client.news(), server.news()], [['abort reset'], ['abort reset']])
    assert.equal(await joint.over, RESET)
  })

  it('are both aborted when the flow is cut, for the reason of the cut', async () => {
    const { flow, client, server, joint } = joined()
    flow.cut(POLICY)
    assert.deepEqual([client.news(), server.news()], [['abort policy'], ['abort policy']])
    assert.equal(await joint.over, POLICY)
  })

  it('are not read at all of a flow that was cut before', async () => {
    const { flow } = joined()
    flow.cut(POLICY)
    const [client, server] = [new FakeLeg(), new FakeLeg()]
    const joint = relay(flow, client, server)
    assert.deepEqual([client.news(), server.news()], [['abort policy'], ['abort policy']])
    assert.equal(await joint.over, POLICY)
  })

  it('tell a leg that comes later where each direction is, or that it has ended', () => {
    for (const hasEnded of [false, true]) {
      const { client, server, joint } = joined()
      client.events.data(Buffer.from('abc'))
      if (hasEnded) client.events.ended()
      server.news()
      const next = new FakeLeg()
      joint.swap('destination', next, 3)
      assert.deepEqual(next.news(), [`start ${hasEnded ? undefined : 3}`])
      client.events.data(Buffer.from('more'))
      assert.deepEqual([next.news(), server.news()], [['send more'], []])
    }
  })

  it('are read on where they are now once they have moved', () => {
    const { client, server, joint } = joined()
    const next = new FakeLeg()
    joint.swap('destination', next, 0)
    next.events.started?.(0)
    for (const leg of [client, server, next]) leg.news()
    client.hasRoom = false
    assert.equal(next.events.data(Buffer.from('1')), false)
    client.events.drained()
    assert.deepEqual([server.news(), next.news()], [[], ['resume']])
  })

  it('are all aborted when one of them has moved, the former leg first, which says why', () => {
    const { flow, client, server, joint } = joined()
    const order: string[] = []
    const next = new FakeLeg()
    server.abort = kind => void order.push(`former ${kind}`)
    next.abort = kind => void order.push(`next ${kind}`)
    joint.swap('destination', next, 0)
    client.news()
    flow.cut(POLICY)
    assert.deepEqual(order, ['former policy', 'next policy'])
    assert.deepEqual(client.news(), ['abort policy'])
  })
})
