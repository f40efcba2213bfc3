import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { owner, quarantined, stateDigest } from '../../src/registry/index.ts'
import { alarmsOf, Node, settle, Time } from './world.ts'

const MACHINES = ['a', 'b', 'c', 'd'] as const
const WORDS = ['w0', 'w1', 'w2', 'w3', 'w4'] as const

const machine = fc.integer({ min: 0, max: MACHINES.length - 1 })
/** What happens in a mesh whose network loses, repeats and reorders. */
const happening = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), at: machine, words: fc.subarray([...WORDS], { minLength: 1 }) }),
  fc.record({ kind: fc.constant('delete' as const), at: machine, words: fc.subarray([...WORDS], { minLength: 1 }) }),
  fc.record({ kind: fc.constant('refresh' as const), at: machine }),
  fc.record({ kind: fc.constant('restart' as const), at: machine }),
  fc.record({ kind: fc.constant('pull' as const), at: machine, from: machine }),
  fc.record({
    kind: fc.constant('deliver' as const),
    at: machine,
    from: machine,
    message: fc.nat(),
    times: fc.integer({ min: 1, max: 2 })
  })
)
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never

class Mesh {
  readonly time = new Time()
  readonly nodes: Node[] = MACHINES.map(name => new Node(name, this.time))
  /** What each owner last said that it has: the truth, since nobody else may change it. */
  readonly truth = MACHINES.map(() => new Set<string>())
  readonly sent: Array<{ by: number; bytes: Uint8Array }> = []

  node(at: number): Node {
    return this.nodes[at]!
  }

  apply(event: Happening): void {
    this.time.pass(7)
    const node = this.node(event.at)
    const before = node.sent.length
    if (event.kind === 'put') {
      node.put(...event.words)
      for (const word of event.words) this.truth[event.at]!.add(word)
    } else if (event.kind === 'delete') {
      node.delete(...event.words)
      for (const word of event.words) this.truth[event.at]!.delete(word)
    } else if (event.kind === 'refresh') {
      node.step({ type: 'refresh' })
    } else if (event.kind === 'restart') {
      this.nodes[event.at] = new Node(node.machine, this.time, { highWaterMarks: [...node.disk.values()] })
      this.truth[event.at] = new Set()
      for (const bytes of this.node(event.at).sent) this.sent.push({ by: event.at, bytes })
      return
    } else if (event.kind === 'pull') {
      if (event.at !== event.from) node.pull(this.node(event.from))
    } else if (this.sent.length > 0) {
      const { bytes } = this.sent[event.message % this.sent.length]!
      for (let time = 0; time < event.times; time += 1) node.hear(bytes, this.node(event.from))
    }
    for (const bytes of node.sent.slice(before)) this.sent.push({ by: event.at, bytes })
  }

  check(): void {
    settle(this.nodes)
    const [first, ...others] = this.nodes as [Node, ...Node[]]
    for (const other of others) assert.deepEqual(stateDigest(other.state), stateDigest(first.state))
    for (const node of this.nodes) {
      for (const [at, truth] of this.truth.entries()) assert.deepEqual(node.sees(this.node(at)), [...truth].sort())
      assert.deepEqual(quarantined(node.state), [])
      assert.deepEqual(alarmsOf(node.effects), [])
    }
  }
}

test('whatever is lost, repeated or reordered, a sync makes all hosts equal to what the owners last said', () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 60 }), events => {
      const mesh = new Mesh()
      settle(mesh.nodes)
      for (const event of events) mesh.apply(event)
      mesh.check()
    }),
    { numRuns: 25 }
  )
})

test('once equal, hearing any of the past again changes nothing: deleted records do not return', () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 40 }), fc.array(fc.nat(), { maxLength: 40 }), (events, replays) => {
      const mesh = new Mesh()
      settle(mesh.nodes)
      for (const event of events) mesh.apply(event)
      mesh.check()
      const before = mesh.nodes.map(node => stateDigest(node.state))
      for (const replay of replays) {
        if (mesh.sent.length === 0) break
        const { bytes } = mesh.sent[replay % mesh.sent.length]!
        for (const node of mesh.nodes) node.hear(bytes, mesh.node(replay % MACHINES.length))
      }
      assert.deepEqual(
        mesh.nodes.map(node => stateDigest(node.state)),
        before
      )
    }),
    { numRuns: 20 }
  )
})

test('the order of messages does not matter: any two orders, then a sync, give the same state', () => {
  fc.assert(
    fc.property(
      fc.array(fc.subarray([...WORDS], { minLength: 1 }), { minLength: 1, maxLength: 12 }),
      fc.infiniteStream(fc.nat()),
      (changes, dice) => {
        const time = new Time()
        const [source, left, right] = ['s', 'l', 'r'].map(name => new Node(name, time)) as [Node, Node, Node]
        left.pull(source)
        right.pull(source)
        for (const [at, words] of changes.entries()) at % 2 === 0 ? source.put(...words) : source.delete(...words)
        const shuffled = [...source.sent].sort(() => (dice.next().value % 2 === 0 ? 1 : -1))
        for (const bytes of source.sent) left.hear(bytes, source)
        for (const bytes of shuffled) right.hear(bytes, source)
        right.pull(source)
        const head = owner(left.state, source.peer)
        assert.deepEqual(
          [head?.epoch, head?.seq],
          [source.state.own.epoch, source.state.own.seq],
          'in order, no sync is needed'
        )
        assert.deepEqual(left.sees(source), right.sees(source))
        assert.deepEqual(left.sees(source), source.sees(source))
      }
    ),
    { numRuns: 25 }
  )
})

/** A replica that owns nothing, so that what it holds is what was merged into it. */
class Merged {
  readonly node: Node

  constructor(name: string, time: Time, ...parts: readonly Node[]) {
    this.node = new Node(name, time, { publishes: false })
    for (const part of parts) this.node.pull(part)
  }

  get digest(): string {
    return Buffer.from(stateDigest(this.node.state)).toString('base64')
  }
}

test('the merge is commutative, associative and idempotent, for any three replicas', () => {
  const owner = fc.integer({ min: 0, max: 2 })
  const knowing = fc.oneof(
    fc.record({ at: owner, kind: fc.constantFrom('put' as const, 'delete' as const), words: fc.subarray([...WORDS]) }),
    fc.record({ at: owner, kind: fc.constant('learn' as const), replica: fc.integer({ min: 0, max: 2 }) })
  )
  fc.assert(
    fc.property(fc.array(knowing, { maxLength: 30 }), events => {
      const time = new Time()
      const sources = ['p', 'q', 'r'].map(name => new Node(name, time))
      const replicas = ['x', 'y', 'z'].map(name => new Merged(name, time).node)
      for (const event of events) {
        time.pass(7)
        const source = sources[event.at]!
        if (event.kind === 'learn') replicas[event.replica]!.pull(source)
        else if (event.kind === 'put') source.put(...event.words)
        else source.delete(...event.words)
      }
      const [x, y, z] = replicas as [Node, Node, Node]
      const merged = (...parts: readonly Node[]) => new Merged('m', time, ...parts)
      assert.equal(merged(x, y).digest, merged(y, x).digest)
      assert.equal(merged(merged(x, y).node, z).digest, merged(x, merged(y, z).node).digest)
      assert.equal(merged(x, x).digest, merged(x).digest)
      for (const source of sources) {
        const newest = [x, y, z].map(part => part.state.entries.get(source.peer)?.sealed.head.seq ?? 0n)
        const held = merged(x, y, z).node.state.entries.get(source.peer)?.sealed.head.seq ?? 0n
        assert.equal(
          held,
          newest.reduce((a, b) => (a > b ? a : b))
        )
      }
    }),
    { numRuns: 60 }
  )
})

test('a host restarted from its disk at any moment never shows what was deleted before', () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 40 }), events => {
      const mesh = new Mesh()
      settle(mesh.nodes)
      for (const event of events) mesh.apply(event)
      mesh.check()
      const before = mesh.node(0)
      const reborn = new Node(before.machine, mesh.time, { highWaterMarks: [...before.disk.values()] })
      for (const { bytes } of mesh.sent) reborn.hear(bytes, mesh.node(1))
      for (const other of mesh.nodes.slice(1)) reborn.pull(other)
      for (const { bytes } of mesh.sent) reborn.hear(bytes, mesh.node(1))
      for (const [at, truth] of mesh.truth.entries()) {
        if (at > 0) assert.deepEqual(reborn.sees(mesh.node(at)), [...truth].sort())
      }
    }),
    { numRuns: 25 }
  )
})
