import assert from 'node:assert/strict'
import test from 'node:test'
import { FailureDetector, type Relayed } from '../../src/cluster/failure/detector.ts'
import { LocalHealth } from '../../src/cluster/failure/local-health.ts'
import { ProbeOrder } from '../../src/cluster/failure/probe-order.ts'
import type { PeerKey } from '../../src/identity/index.ts'

const key = (at: number): PeerKey => `peer-${at}` as PeerKey

/** A host among `count` members, in virtual time: a ping takes no time unless it is missed. */
class World {
  nowMs = 0
  readonly members: PeerKey[]
  /** Who answers nobody. */
  readonly dead = new Set<PeerKey>()
  /** Who does not answer us, but others. */
  readonly unreachable = new Set<PeerKey>()
  /** What a missed ping takes beyond its time-out: a process that stood still. */
  stallMs = 0
  isolated = false
  lossShare = 0
  readonly pings: PeerKey[] = []
  readonly told: Array<[PeerKey, PeerKey]> = []
  readonly events: string[] = []
  readonly silent: PeerKey[] = []
  /** Pings made while it is set wait for it, and are missed. */
  holdPing: Promise<void> | undefined
  /** Called at each ping, before its outcome is known. */
  onPing: (peer: PeerKey) => void = () => {}
  /** Whose connections have ended, seen or not. */
  readonly disconnected = new Set<PeerKey>()
  readonly timeouts: number[] = []
  readonly detector: FailureDetector
  #seed = 1

  constructor(count: number) {
    this.members = Array.from({ length: count }, (_, at) => key(at))
    this.detector = new FailureDetector({
      members: () => this.members,
      isMember: peer => this.members.includes(peer),
      connected: () => this.members.filter(peer => !this.dead.has(peer) && !this.disconnected.has(peer)),
      ping: async (peer, timeoutMs) => {
        this.pings.push(peer)
        this.timeouts.push(timeoutMs)
        const wasConnected = !this.disconnected.has(peer)
        if (this.holdPing !== undefined) {
          await this.holdPing
          return false
        }
        this.onPing(peer)
        if (wasConnected && this.disconnected.has(peer)) return false
        if (this.#next() < this.lossShare) {
          this.nowMs += timeoutMs
          return false
        }
        if (!this.isolated && !this.dead.has(peer) && !this.unreachable.has(peer) && this.stallMs === 0) return true
        this.nowMs += timeoutMs + this.stallMs
        return false
      },
      pingVia: async (_helper, peer): Promise<Relayed> =>
        this.isolated || this.#next() < this.lossShare ? 'no answer' : this.dead.has(peer) ? 'missed' : 'reached',
      notify: (to, about) => this.told.push([to, about]),
      onSuspicion: (peer, suspected) => this.events.push(`${peer} ${suspected ? 'suspected' : 'answers'}`),
      onSilence: peer => this.silent.push(peer),
      monotonicMs: () => this.nowMs,
      random: () => this.#next()
    })
  }

  #next(): number {
    this.#seed = (this.#seed * 48_271) % 2_147_483_647
    return this.#seed / 2_147_483_647
  }

  async rounds(count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      this.nowMs += 1_000
      await this.detector.round()
    }
  }
}

test('each member is looked at within two passes, and nobody is suspected who answers', async () => {
  const world = new World(200)
  await world.rounds(400)
  assert.equal(new Set(world.pings).size, 200)
  assert.deepEqual(world.events, [])
})

test('a member that answers nobody is suspected once, others are told, and its first answer ends it', async () => {
  const world = new World(20)
  world.dead.add(key(3))
  await world.rounds(40)
  assert.deepEqual(world.events, ['peer-3 suspected'])
  assert.equal(world.told.length, 8)
  assert.ok(world.told.every(([to, about]) => about === key(3) && to !== key(3)))
  assert.notEqual(world.detector.suspectedSinceMs(key(3)), undefined)
  world.dead.delete(key(3))
  await world.rounds(1)
  assert.deepEqual(world.events, ['peer-3 suspected', 'peer-3 answers'])
})

test('a connection is given up when a suspicion is confirmed, not at the first miss', async () => {
  const world = new World(20)
  world.dead.add(key(3))
  await world.detector.check(key(3))
  assert.deepEqual([world.events, world.silent], [['peer-3 suspected'], []])
  world.nowMs += 1_000
  await world.detector.check(key(3))
  assert.deepEqual(world.silent, [])
  world.nowMs += 5_000
  await world.detector.check(key(3))
  assert.deepEqual(world.silent, [key(3)])
})

test('when one suspect answers again, all others are looked at at once: the link may be back', async () => {
  const world = new World(30)
  const away = world.members.slice(0, 12)
  for (const peer of away) world.dead.add(peer)
  await world.rounds(120)
  assert.equal(world.events.filter(event => event.endsWith('suspected')).length, 12)
  world.dead.clear()
  world.nowMs += 1_000
  await world.detector.check(away[0]!)
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(world.events.filter(event => event.endsWith('answers')).length, 12)
})

test('a connection that is still silent when others return is given up at once, so that a new one is made', async () => {
  const world = new World(20)
  world.dead.add(key(3))
  world.dead.add(key(4))
  await Promise.all([key(3), key(4)].map(peer => world.detector.check(peer)))
  world.nowMs += 2_000
  world.dead.delete(key(4))
  await world.detector.check(key(4))
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(world.silent, [key(3)])
})

test('a suspect that makes itself heard during a long check is back before the check ends', async () => {
  const world = new World(20)
  world.dead.add(key(3))
  await world.detector.check(key(3))
  const missed = Promise.withResolvers<void>()
  world.holdPing = missed.promise
  const checking = world.detector.check(key(3))
  world.holdPing = undefined
  world.dead.delete(key(3))
  world.detector.heard(key(3))
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(world.detector.suspectedSinceMs(key(3)), undefined)
  missed.resolve()
  await checking
  assert.deepEqual(world.events, ['peer-3 suspected', 'peer-3 answers'])
})

test('of a few suspects each is looked at every second', async () => {
  const world = new World(20)
  for (let at = 0; at < 5; at += 1) world.dead.add(key(at))
  await Promise.all(world.members.slice(0, 5).map(peer => world.detector.check(peer)))
  world.pings.length = 0
  await world.rounds(1)
  for (let at = 0; at < 5; at += 1) assert.ok(world.pings.includes(key(at)))
})

test('a ping whose connection ended under it is repeated on a new one', async () => {
  const world = new World(5)
  world.onPing = peer => world.disconnected.add(peer)
  await world.detector.check(key(1))
  assert.deepEqual(world.events, [])
  assert.equal(world.pings.length, 2)
})

test('a member that only we cannot reach is not suspected', async () => {
  const world = new World(20)
  world.unreachable.add(key(5))
  await world.rounds(60)
  assert.deepEqual(world.events, [])
})

test('suspicion gossip makes a host look, and no more', async () => {
  const world = new World(10)
  world.nowMs = 10_000
  world.detector.suspected(key(1))
  await world.detector.check(key(1))
  assert.deepEqual(world.events, [])
  assert.equal(world.pings.length, 1)
  // It has just answered: a flood of suspicion gossip is not a flood of pings.
  for (let i = 0; i < 100; i += 1) world.detector.suspected(key(1))
  assert.equal(world.pings.length, 1)
  world.detector.suspected('peer-of-nobody' as PeerKey)
  assert.equal(world.pings.length, 1)
})

test('a process that stood still doubts itself before it suspects others', async () => {
  const world = new World(10)
  world.stallMs = 15_000
  const checking = world.detector.check(key(1))
  // It runs again before the ping is repeated.
  world.stallMs = 0
  await checking
  assert.deepEqual(world.events, [])
})

test('in a mesh of 1,000 of whose pings one in twenty is lost, the dead and only they are suspected in the end', async () => {
  const world = new World(1_000)
  for (let at = 0; at < 1_000; at += 100) world.dead.add(key(at))
  world.lossShare = 0.05
  await world.rounds(2_000)
  const suspects = world.members.filter(peer => world.detector.suspectedSinceMs(peer) !== undefined)
  assert.deepEqual(new Set(suspects), world.dead)
})

test('a host that hears nobody waits longer, and takes that back when it hears them again', async () => {
  const world = new World(6)
  world.isolated = true
  await world.rounds(12)
  assert.ok(Math.max(...world.timeouts) > 2_000)
  world.isolated = false
  await world.rounds(60)
  assert.deepEqual(world.events.filter(event => event.endsWith('answers')).length, world.events.length / 2)
  assert.equal(world.timeouts.at(-1), 500)
})

test('that suspects do not answer is no new reason for a host to doubt itself', async () => {
  const world = new World(3)
  world.isolated = true
  for (let pass = 0; pass < 10; pass += 1) for (const peer of world.members) await world.detector.check(peer)
  assert.equal(world.events.filter(event => event.endsWith('suspected')).length, 3)
  // One reason for each of the three.
  assert.equal(Math.max(...world.timeouts), 4 * 500)
})

test('who is no member any more is forgotten, and begins anew', async () => {
  const world = new World(5)
  world.dead.add(key(2))
  await world.detector.check(key(2))
  world.members.splice(2, 1)
  await world.rounds(1)
  assert.equal(world.detector.suspectedSinceMs(key(2)), undefined)
  world.members.push(key(2))
  await world.detector.check(key(2))
  assert.deepEqual(world.events, ['peer-2 suspected', 'peer-2 suspected'])
})

test('one member is checked once at a time, and checks at once are bounded', async () => {
  const world = new World(200)
  const first = world.detector.check(key(1))
  assert.equal(world.detector.check(key(1)), first)
  for (const peer of world.members) void world.detector.check(peer)
  // None of them has ended yet.
  assert.equal(world.pings.length, 64)
  await first
})

test('what is above the bound of checks at once waits for its turn, and suspicion gossip is dropped', async () => {
  const world = new World(200)
  for (const peer of world.members.slice(0, 100)) void world.detector.check(peer)
  for (const peer of world.members.slice(100)) world.detector.suspected(peer)
  const left = world.members[99]!
  world.members.splice(70, 1)
  while (!world.pings.includes(left)) await Promise.resolve()
  assert.equal(new Set(world.pings).size, 99)
})

test('the rotation follows those who come and go', () => {
  let all = [key(1), key(2)]
  const rotation = new ProbeOrder(
    () => all,
    () => 0
  )
  assert.deepEqual(new Set([rotation.next(), rotation.next()]), new Set(all))
  all = []
  assert.equal(rotation.next(), undefined)
  all = [key(3)]
  assert.equal(rotation.next(), key(3))
})

test('local health is bounded at both ends', () => {
  const health = new LocalHealth()
  health.better()
  assert.equal(health.factor, 1)
  for (let i = 0; i < 20; i += 1) health.worse()
  assert.equal(health.factor, 9)
})
