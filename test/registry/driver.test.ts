import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PeerKey } from '../../src/identity/index.ts'
import { answer, type DriverPorts, owner, RegistryDriver } from '../../src/registry/index.ts'
import { decodeGossip } from '../../src/registry/wire-bounds.ts'
import { chainOf, mesh, type Node, recordOf, Time } from './world.ts'

function driving(node: Node, time: Time) {
  const published: Uint8Array[] = []
  const listening: PeerKey[] = []
  const connected: PeerKey[] = []
  const asked: PeerKey[] = []
  const requests: Array<{ readonly request: Uint8Array; readonly onResponse: (response: Uint8Array) => void }> = []
  const ports: DriverPorts = {
    now: () => ({ ...time }),
    random: () => 0,
    after: () => () => {},
    connected: () => connected,
    listening: () => listening,
    publish: bytes => published.push(bytes),
    request: (peer, request, onResponse) => {
      asked.push(peer)
      requests.push({ request, onResponse })
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
  return { driver, listening, connected, asked, requests, tell }
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

test('a certificate that is renewed while a session with its owner ends is asked for by another one', () => {
  const time = new Time()
  const [a, b, c] = mesh(time, 'a', 'b', 'c') as [Node, Node, Node]
  c.put('web')
  b.pull(c)
  const { driver, connected, requests } = driving(a, time)
  connected.push(b.peer)
  driver.syncWith(b.peer)
  const respond = (at: number): void => requests[at]?.onResponse(answer(b.state, requests[at].request, { ...time }))
  respond(0)
  assert.equal(requests.length, 2, 'it fetches what c has put')
  const renewed = { ...b.identity, notAfterMs: b.identity.notAfterMs + 1_000 }
  b.announce({ nodeChain: chainOf(renewed, 1) })
  driver.gossip(b.sent.at(-1) ?? new Uint8Array(), b.peer)
  assert.equal(requests.length, 2, 'one session with a peer at a time')
  for (let at = 1; at < requests.length; at += 1) respond(at)
  assert.equal(owner(a.state, b.peer)?.identity.notAfterMs, renewed.notAfterMs)
  assert.equal(requests.length, 4)
})
