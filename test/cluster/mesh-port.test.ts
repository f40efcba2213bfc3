import assert from 'node:assert/strict'
import test from 'node:test'
import { capabilitiesOf, meshPortParts, relayParts, reverseParts } from '../../src/cluster/index.ts'
import type { PeerKey } from '../../src/identity/index.ts'
import type { Mesh } from '../../src/mesh/index.ts'
import { mesh, Time } from '../registry/world.ts'

const MESH_ADDRESSES = ['/ip4/192.0.2.1/tcp/7460', '/dns4/b.example/tcp/7460', 'nonsense']
const ENDS = [
  { host: '192.0.2.1', port: 7460 },
  { host: 'b.example', port: 7460 }
]

/** What a knows of b, which announces these capabilities, over a mesh whose connection with b is as described. */
function lab(capabilities: readonly string[], connection: Partial<Mesh> = {}) {
  const [here, there, third] = mesh(new Time(), 'a', 'b', 'c')
  assert(here !== undefined && there !== undefined && third !== undefined)
  there.announce({ capabilities, meshAddresses: MESH_ADDRESSES, dataAddresses: ['192.0.2.1:7461'] })
  third.announce({ capabilities })
  here.pull(there)
  here.pull(third)
  const overMesh = {
    peer: here.peer,
    isConnected: () => false,
    dialledAt: () => undefined,
    remoteAddressOf: () => '192.0.2.1',
    connected: () => [there.peer, third.peer],
    ...connection
  } as unknown as Mesh
  return { here, there, third, overMesh, peer: there.peer as PeerKey }
}

test('a host accepts sessions at its mesh port, and relays connections, since this version', () => {
  for (const capability of ['mesh-port', 'relay-connections']) assert.ok(capabilitiesOf({}).includes(capability))
})

test('the mesh port of a host is where it was dialled, else what it announces', () => {
  const { here, overMesh, peer } = lab(['tcp', 'mesh-port'])
  assert.deepEqual(meshPortParts(overMesh, here.state).meshPortsOf(peer), ENDS)
  const dialled = { host: '198.51.100.7', port: 9 }
  const over = { ...overMesh, dialledAt: () => dialled }
  assert.deepEqual(meshPortParts(over, here.state).meshPortsOf(peer), [dialled])
})

test('an older host is never dialled at its mesh port, dials nobody there, and is asked for no relay', () => {
  const { here, third, overMesh, peer } = lab(['tcp'], { dialledAt: () => ({ host: '192.0.2.1', port: 7460 }) })
  assert.deepEqual(meshPortParts(overMesh, here.state).meshPortsOf(peer), [])
  assert.deepEqual(reverseParts(overMesh, here.state).dataPortsOf(peer), [{ host: '192.0.2.1', port: 7461 }])
  assert.deepEqual(relayParts(overMesh, here.state).relaysTo(peer), [])
  assert.equal(relayParts(overMesh, here.state).takesJoined(third.peer), false)
})

test('a host that has dialled this one is known as such', () => {
  const { here, overMesh, peer } = lab(['mesh-port'])
  const isDialledBy = (connection: Partial<Mesh>): boolean =>
    meshPortParts({ ...overMesh, ...connection }, here.state).isDialledBy(peer)
  assert.equal(isDialledBy({}), false)
  assert.equal(isDialledBy({ isConnected: () => true }), true)
  assert.equal(isDialledBy({ isConnected: () => true, dialledAt: () => ({ host: '192.0.2.1', port: 7460 }) }), false)
})

test('a host that asks is dialled at its mesh port after its data port, and both are where it has proved itself', () => {
  const { here, overMesh, peer } = lab(['mesh-port'], { remoteAddressOf: () => '203.0.113.5' })
  assert.deepEqual(reverseParts(overMesh, here.state).dataPortsOf(peer), [
    { host: '203.0.113.5', port: 7461 },
    { host: '203.0.113.5', port: 7460 }
  ])
})

test('members that are connected relay to a host, and neither that host nor one of an older version does', () => {
  const { here, third, overMesh, peer } = lab(['relay-connections'])
  const parts = relayParts(overMesh, here.state)
  assert.deepEqual(parts.relaysTo(peer), [third.peer])
  assert.equal(parts.takesJoined(peer), true)
  assert.equal(parts.takesJoined('nobody' as PeerKey), false)
  assert.equal(parts.machineOf(peer), 'b')
})
