import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PeerKey } from '../../src/identity/index.ts'
import { type DriverPorts, RegistryDriver } from '../../src/registry/index.ts'
import { decodeGossip } from '../../src/registry/wire-bounds.ts'
import { chainOf, mesh, type Node, recordOf, Time } from './world.ts'

function driving(node: Node, time: Time) {
  const published: Uint8Array[] = []
  const listening: PeerKey[] = []
  const connected: PeerKey[] = []
  const asked: PeerKey[] = []
  const ports: DriverPorts = {
    now: () => ({ ...time }),
    random: () => 0,
    after: () => () => {},
    connected: () => connected,
    listening: () => listening,
    publish: bytes => published.push(bytes),
    request: peer => {
      asked.push(peer)
      return () => {}
    },
    ack: () => () => {},
    gather: () => {},
    synchronised: () => {},
    saveHighWaterMarks: () => {},
    deleteHighWaterMark: () => {},
    notify: () => {}
  }
  const driver = new RegistryDriver(node.state, ports)
  const tell = (name: string): boolean => {
    driver.dispatch({ type: 'local-change', puts: [recordOf(node.machine, name)], deletes: [] })
    return decodeGossip(published.at(-1) ?? new Uint8Array(), node.state.limits).sentToAll
  }
  return { driver, listening, connected, asked, tell }
}

test('a host says that it tells everybody only while every live host listens to it', () => {
  const time = new Time()
  const [a, b, c] = mesh(time, 'a', 'b', 'c') as [Node, Node, Node]
  const { listening, tell } = driving(a, time)
  assert.equal(tell('one'), false)
  listening.push(b.peer)
  assert.equal(tell('two'), false)
  listening.push(c.peer)
  assert.equal(tell('three'), true)
  listening.shift()
  assert.equal(tell('four'), false)
})

test('a renewed certificate is asked of its owner where that is connected, else of who told of it', () => {
  const time = new Time()
  for (const isConnected of [true, false]) {
    const [a, b, c] = mesh(time, 'a', 'b', 'c') as [Node, Node, Node]
    const { driver, connected, asked } = driving(a, time)
    connected.push(c.peer, ...(isConnected ? [b.peer] : []))
    b.announce({ nodeChain: chainOf({ ...b.identity, notAfterMs: b.identity.notAfterMs + 1_000 }, 1) })
    driver.gossip(b.sent.at(-1) ?? new Uint8Array(), c.peer)
    assert.deepEqual(asked, [isConnected ? b.peer : c.peer])
  }
})
