import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type LimitName, silentMetrics } from '../../src/core/index.ts'
import { MAX_WAITING_BYTES } from '../../src/proxy/flow/leg.ts'
import { FlowRoom } from '../../src/proxy/flow/room.ts'
import { WaitingAccounts } from '../../src/proxy/flow/waiting-accounts.ts'

const MIB = 1024 * 1024

function accountsOf(limits: { readonly agent?: number } = {}) {
  const hits: LimitName[] = []
  const accounts = new WaitingAccounts(
    {
      waitingBytes: limits.agent ?? 256 * MIB,
      waitingBytesPerWorkload: 64 * MIB,
      waitingBytesPerSession: 32 * MIB
    },
    { ...silentMetrics, hit: name => void hits.push(name) }
  )
  const flow = (session: string, ...workloads: string[]): FlowRoom =>
    new FlowRoom({ accounts, session: () => session, workloads })
  return { accounts, flow, hits }
}

describe('the room of waiting bytes', () => {
  it('is the same for each flow while little waits', () => {
    const { flow } = accountsOf()
    const one = flow('session', 'workload')
    one.hold(() => 10 * MIB)
    assert.deepEqual([one.bytes, one.isScarce], [MAX_WAITING_BYTES, false])
  })

  it('shrinks towards the limit of a session and is never none, and other sessions have theirs', () => {
    const { flow, hits } = accountsOf()
    const one = flow('session', 'workload')
    let waiting = 24 * MIB
    one.hold(() => waiting)
    const before = flow('session', 'workload').bytes
    waiting = 31 * MIB
    one.measure()
    const after = flow('session', 'workload').bytes
    assert.ok(after < before && before < MAX_WAITING_BYTES && after > 1, `${before}, then ${after}`)
    assert.deepEqual(hits, [])
    waiting = 33 * MIB
    one.measure()
    assert.deepEqual([flow('session', 'workload').bytes, hits], [1, ['proxy_waiting_bytes_per_session']])
    assert.equal(flow('another', 'workload').isScarce, false)
  })

  it('shrinks as the flows of a workload hold much together, in whatever sessions', () => {
    const { flow } = accountsOf()
    for (const session of ['one', 'two', 'three']) flow(session, 'workload').hold(() => 20 * MIB)
    assert.equal(flow('four', 'workload').isScarce, true)
    assert.equal(flow('four', 'other').isScarce, false)
  })

  it('is left to a workload with little, however much others hold of the budget of the agent', () => {
    const { flow, hits } = accountsOf({ agent: 40 * MIB })
    for (const each of ['one', 'two']) flow(each, each).hold(() => 22 * MIB)
    const [greedy, modest] = [flow('three', 'three'), flow('four', 'four')]
    greedy.hold(() => 2 * MIB)
    modest.hold(() => MIB / 2)
    assert.deepEqual([greedy.bytes, modest.bytes, hits], [1, MAX_WAITING_BYTES, ['proxy_waiting_bytes']])
  })

  it('comes back when the flow moves or ends, and nothing is charged after its end', () => {
    const { accounts, flow } = accountsOf()
    const [one, two] = [flow('session', 'workload'), flow('session', 'workload')]
    one.hold(() => 20 * MIB)
    two.hold(() => 20 * MIB)
    one.release()
    assert.equal(accounts.agent.usedBytes, 20 * MIB)
    two.close()
    two.hold(() => 20 * MIB)
    assert.deepEqual([accounts.agent.usedBytes, one.bytes, two.bytes], [0, MAX_WAITING_BYTES, MAX_WAITING_BYTES])
  })
})
