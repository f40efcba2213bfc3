import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomOf } from '../../bench/scale/events.ts'
import { graphOf } from '../../bench/scale/graph.ts'
import { healing } from '../../bench/scale/heal.ts'
import { model } from '../../bench/scale/model.ts'
import { neighboursOf, ringPositions } from '../../src/mesh/dialing/rings.ts'

const OPTIONS = { seed: 7, latencyMs: 2, loss: 0.001, changesPerHour: 6 }

test('the scale model gives the same row for the same options', () => {
  const row = () => ({ ...model({ ...OPTIONS, hosts: 100 }), tookMs: 0 })
  assert.deepEqual(row(), row())
})

test('in the model every acknowledgement arrives, over few connections, and costs as much as 96 bytes for each host allow', () => {
  const { connections, waitAll, change } = model({ ...OPTIONS, hosts: 300 })
  assert.ok(connections.max < 24)
  assert.ok(Number.isFinite(waitAll.ms) && Number.isFinite(change.allMs))
  assert.ok(waitAll.bytes < 300 * 150, `${waitAll.bytes}`)
})

test('the connections of the model are those that the agent keeps', () => {
  const { peers, links } = graphOf(200, randomOf(7))
  const members = peers.map(peer => ({ peer, positions: ringPositions(peer), isReachable: true }))
  for (const [at, peer] of peers.entries()) {
    const own = neighboursOf(peer, members, at)
    const missing = [...own].filter(other => !links[at]?.includes(peers.indexOf(other)))
    // The random neighbour is another one in each.
    assert.ok(missing.length <= 1, `${missing.length}`)
  }
})

test('in the model two halves whose link is back have one state at every host, and longer ways take longer', () => {
  const graph = graphOf(300, randomOf(7))
  const near = healing(graph, randomOf(3), 2)
  assert.ok(near.changesMs < 15_000 && near.answersMs < 15_000, JSON.stringify(near))
  const far = healing(graph, randomOf(3), 200)
  assert.ok(far.changesMs > near.changesMs && far.answersMs > near.answersMs, JSON.stringify({ near, far }))
  const alone = { ...graph, links: graph.links.map(() => []) }
  assert.equal(
    healing(alone, randomOf(3), 2).changesMs,
    Number.POSITIVE_INFINITY,
    'without connections nothing is learned'
  )
})
