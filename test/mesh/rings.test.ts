import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { type PeerKey, peerKeyOf } from '../../src/identity/index.ts'
import { neighboursOf, type RingMember, ringCount, ringPositions } from '../../src/mesh/dialing/rings.ts'

function members(count: number): RingMember[] {
  return Array.from({ length: count }, (_, at) => {
    const peer = peerKeyOf(createHash('sha256').update(`host ${at}`).digest())
    return { peer, positions: ringPositions(peer), isReachable: true }
  })
}

/** The connections that stand when every host knows all others. */
function graphOf(all: readonly RingMember[]): Map<PeerKey, Set<PeerKey>> {
  const graph = new Map(all.map(({ peer }) => [peer, new Set<PeerKey>()]))
  for (const [at, { peer }] of all.entries()) {
    for (const other of neighboursOf(peer, all, at * 2_654_435_761)) {
      graph.get(peer)!.add(other)
      graph.get(other)?.add(peer)
    }
  }
  return graph
}

/** The hosts that are reached from the first one. */
function reached(graph: ReadonlyMap<PeerKey, ReadonlySet<PeerKey>>, isGone: (peer: PeerKey) => boolean): number {
  const first = [...graph.keys()].find(peer => !isGone(peer))!
  const seen = new Set([first])
  for (const peer of seen) for (const other of graph.get(peer)!) if (!isGone(other)) seen.add(other)
  return seen.size
}

test('a host of a thousand keeps at most 24 connections, and every host is reached in few steps', () => {
  const graph = graphOf(members(1_000))
  const degrees = [...graph.values()].map(({ size }) => size)
  assert.ok(Math.max(...degrees) <= 24, `${Math.max(...degrees)}`)
  assert.ok(Math.min(...degrees) >= 2 * ringCount(1_000) - 3)
  let steps = 0
  for (let seen = new Set([[...graph.keys()][0]!]); seen.size < graph.size; steps += 1) {
    seen = new Set([...seen].flatMap(peer => [peer, ...graph.get(peer)!]))
  }
  assert.ok(steps <= 4, `${steps}`)
})

test('the mesh stays connected when a third of its hosts end at the same moment', () => {
  const all = members(1_000)
  const graph = graphOf(all)
  for (let round = 0; round < 20; round += 1) {
    const gone = new Set(
      all.filter((_, at) => createHash('md5').update(`${round} ${at}`).digest()[0]! % 3 === 0).map(({ peer }) => peer)
    )
    assert.equal(
      reached(graph, peer => gone.has(peer)),
      all.length - gone.size
    )
  }
})

test('both ends of an edge of a ring want it, and a host that joins changes few edges of the others', () => {
  const all = members(300)
  const [joined, ...others] = all as [RingMember, ...RingMember[]]
  let oneSided = 0
  let changed = 0
  for (const { peer } of others) {
    const before = neighboursOf(peer, others, 0)
    for (const other of before) if (!neighboursOf(other, others, 0).has(peer)) oneSided += 1
    const after = neighboursOf(peer, all, 0)
    changed += [...after].filter(other => !before.has(other)).length
    for (const other of before) if (!after.has(other)) assert.ok(after.has(joined.peer))
  }
  // With one salt for all, one host is the random one of everybody.
  assert.ok(oneSided <= others.length)
  assert.ok(changed <= 2 * ringCount(300) + 1, `${changed}`)
})

test('neighbours behind a link that is down are dialled still, and others take their part', () => {
  const all = members(200).map((member, at) => ({ ...member, isReachable: at % 2 === 0 }))
  const [self] = all as [RingMember]
  const neighbours = neighboursOf(self.peer, all, 7)
  const reachable = all.filter(({ peer, isReachable }) => isReachable && neighbours.has(peer))
  const retried = all.filter(({ peer, isReachable }) => !isReachable && neighbours.has(peer))
  assert.ok(reachable.length >= ringCount(200))
  assert.ok(retried.length >= 1 && retried.length <= 6 * ringCount(200), `${retried.length}`)
})

test('the random neighbour differs from host to host, and cannot be computed without the salt', () => {
  const all = members(200)
  const [self] = all as [RingMember]
  const rings = neighboursOf(self.peer, all, 1)
  const random = new Set<PeerKey>()
  for (let salt = 0; salt < 50; salt += 1)
    for (const peer of neighboursOf(self.peer, all, salt)) if (!rings.has(peer)) random.add(peer)
  assert.ok(random.size > 25, `${random.size}`)
})
