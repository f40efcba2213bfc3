import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../src/core/index.ts'
import { peerKeyOf } from '../../src/identity/index.ts'
import { OnDemand } from '../../src/mesh/connections/index.ts'
import { ON_DEMAND_IDLE_MS } from '../../src/mesh/limits.ts'
import { connection, type Host, startHost, until } from './support.ts'

const peer = (at: number) => peerKeyOf(new Uint8Array(32).fill(at))

test('a connection that was dialled for a use ends with it, and no other does', async () => {
  const closed: string[] = []
  let nowMs = 0
  const dialled = [1, 2, 3, 4].map(at => ({ peer: peer(at), ageMs: ON_DEMAND_IDLE_MS }))
  const onDemand = new OnDemand({
    sessions: { dialled: () => [...dialled, { peer: peer(5), ageMs: ON_DEMAND_IDLE_MS - 1 }] },
    isNeighbour: other => other === peer(1),
    carriesData: other => other === peer(2),
    close: async other => {
      closed.push(other)
    },
    monotonicMs: () => nowMs,
    log: silentLogger,
    signal: new AbortController().signal
  })
  onDemand.used(peer(3))
  nowMs = ON_DEMAND_IDLE_MS - 1
  await onDemand.round()
  assert.deepEqual(closed, [peer(4)])
  closed.length = 0
  nowMs = ON_DEMAND_IDLE_MS
  await onDemand.round()
  assert.deepEqual(closed, [peer(3), peer(4)])
})

test('hosts of a large mesh connect to neighbours only, and all of them are reached', async t => {
  // Two rings, so that few hosts are enough to see that not all are neighbours.
  const options = { fullMeshMembers: 4 }
  const first = await startHost(t, 'h0', options)
  const start = (at: number) => startHost(t, `h${at}`, { ...options, bootstrap: first.mesh.addresses() })
  const hosts: Host[] = [first, ...(await Promise.all(Array.from({ length: 11 }, (_, at) => start(at + 1))))]
  await Promise.all(hosts.slice(1).map(host => connection(host, first)))
  const addresses = hosts.flatMap(({ mesh }) => mesh.addresses())
  for (const { mesh } of hosts) mesh.addHints(addresses)
  const isSettled = ({ mesh }: Host): boolean =>
    hosts.every(other => other.mesh === mesh || !mesh.isNeighbour(other.mesh.peer) || mesh.isConnected(other.mesh.peer))
  await until(() => hosts.every(isSettled))
  const seen = new Set([first])
  for (const host of seen) for (const other of hosts) if (host.mesh.isConnected(other.mesh.peer)) seen.add(other)
  assert.equal(seen.size, hosts.length)
  const later = hosts.slice(1).flatMap(host => hosts.slice(1).filter(other => !host.mesh.isConnected(other.mesh.peer)))
  assert.ok(later.length > 0, 'this is not a full mesh')
  const [lonely] = hosts
    .slice(1)
    .flatMap(host =>
      hosts
        .slice(1)
        .flatMap(other => (other === host || host.mesh.isConnected(other.mesh.peer) ? [] : [[host, other] as const]))
    )
  assert.ok(lonely !== undefined && !lonely[0].mesh.isNeighbour(lonely[1].mesh.peer))
})
