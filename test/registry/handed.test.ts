import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type HandedState, handedStates, knowsBeside, owner, owners } from '../../src/registry/index.ts'
import { decode, registryPb, toBinary } from '../../src/wire/index.ts'
import { Node, Time } from './world.ts'

const NOBODY: ReadonlySet<string> = new Set()

/** A replica that knows `others`, and the one of the next process of the same host. */
function processes(time: Time, ...others: Node[]) {
  const former = new Node('here', time)
  for (const other of others) former.pull(other)
  const leave = (first = NOBODY, most = 9): HandedState[] => handedStates(former.state, first, { ...time }, most)
  const next = (): Node => new Node('here', time, { highWaterMarks: [...former.disk.values()], publishes: false })
  return { former, leave, next }
}

function serving(machine: string, time: Time, ...names: string[]): Node {
  const node = new Node(machine, time)
  node.put(...names)
  return node
}

test('the next process knows at once what the one before knew of other hosts, and acknowledges nothing again', () => {
  const time = new Time()
  const [a, b] = [serving('a', time, 'web', 'api'), serving('b', time, 'db')]
  const { leave, next } = processes(time, a, b)
  const node = next()
  const effects = node.step({ type: 'handed', states: leave() })
  assert.deepEqual([node.sees(a), node.sees(b)], [['api', 'web'], ['db']])
  assert.deepEqual(
    owners(node.state).map(({ machine }) => machine),
    ['a', 'b']
  )
  assert.deepEqual(
    effects.filter(({ type }) => type === 'send-ack'),
    []
  )
})

test('a state that was changed on the way, or whose host is not trusted any more, is left out and costs no other one', () => {
  const time = new Time()
  const [a, b, c] = [serving('a', time, 'web'), serving('b', time, 'db'), serving('c', time, 'mail')]
  const { leave, next } = processes(time, a, b, c)
  const node = next()
  node.revoked.add(b.peer)
  const states = leave().map(state => {
    const message = decode(registryPb.OwnerStateSchema, state.bytes, state.bytes.length)
    const { head, set } = message
    if (set.case === 'records' && head !== undefined && Buffer.from(head.head).includes(Buffer.from(a.key))) {
      set.value.records.pop()
    }
    return { ...state, bytes: toBinary(registryPb.OwnerStateSchema, message) }
  })
  node.step({ type: 'handed', states: [{ bytes: Buffer.from('nonsense'), ageMs: 0 }, ...states] })
  assert.deepEqual(
    owners(node.state).map(({ machine }) => machine),
    ['c']
  )
})

test('a lease goes on from when the former process received it, and does not begin anew', () => {
  const time = new Time()
  const a = serving('a', time, 'web')
  const { former, leave, next } = processes(time, a)
  const { leaseMs = 0 } = owner(former.state, a.peer) ?? {}
  time.pass(leaseMs / 2)
  const states = leave()
  const node = next()
  node.step({ type: 'handed', states })
  assert.deepEqual(node.sees(a), ['web'])
  time.pass(leaseMs / 2 + 1)
  node.step({ type: 'tick' })
  assert.equal(owner(node.state, a.peer), undefined)

  for (const [partLeft, isTaken] of [
    [0.3, true],
    [0.2, false]
  ] as const) {
    const [clock, host] = [new Time(), serving('b', time, 'web')]
    const other = new Node('here', clock)
    const left = processes(time, host).leave()
    other.step({ type: 'handed', states: left.map(({ bytes }) => ({ bytes, ageMs: (1 - partLeft) * leaseMs })) })
    assert.equal(owner(other.state, host.peer) !== undefined, isTaken)
  }
})

test('hosts with flows are handed over before others, suspects and this host never', () => {
  const time = new Time()
  const others = Array.from({ length: 8 }, (_, at) => new Node(`m${at}`, time))
  const { former, leave, next } = processes(time, ...others)
  former.step({ type: 'suspect', peer: others[0]!.peer, suspect: true })
  const states = leave(new Set(['m7', 'm0']), 3)
  assert.equal(states.length, 3)
  const node = next()
  node.step({ type: 'handed', states })
  const machines = new Set(owners(node.state).map(({ machine }) => machine))
  assert.deepEqual([machines.has('m7'), machines.has('m0'), machines.has('here')], [true, false, false])
})

test('a host knows whether there is a member besides another one', () => {
  const time = new Time()
  const [here, a, b] = [new Node('here', time), new Node('a', time), new Node('b', time)]
  assert.equal(knowsBeside(here.state, 'a'), false)
  here.pull(a)
  assert.deepEqual([knowsBeside(here.state, 'a'), knowsBeside(here.state, 'b')], [false, true])
  here.pull(b)
  assert.equal(knowsBeside(here.state, 'a'), true)
})
