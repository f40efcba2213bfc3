import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBinary } from '@bufbuild/protobuf'
import { openHead } from '../../src/registry/head.ts'
import { DEFAULT_LIMITS, owner } from '../../src/registry/index.ts'
import { create, registryPb, toBinary } from '../../src/wire/index.ts'
import { fakeSign, mesh, type Node, Time } from './world.ts'

const TD = 'example.org'
const VERSIONS = [
  { name: 'mesh', min: 1, max: 2 },
  { name: 'session', min: 1, max: 1 }
]

/** The head that `node` published last, read and changed as another program could have written it. */
function lastHead(node: Node): registryPb.NodeHead {
  const gossip = fromBinary(registryPb.GossipSchema, node.sent.at(-1) ?? new Uint8Array())
  const head = gossip.event.case === 'delta' ? gossip.event.value.head : gossip.event.value
  return fromBinary(registryPb.NodeHeadSchema, (head as registryPb.SignedHead).head)
}

function signed(node: Node, head: registryPb.NodeHead, more: Uint8Array = new Uint8Array()): registryPb.SignedHead {
  const bytes = Buffer.concat([toBinary(registryPb.NodeHeadSchema, head), more])
  return create(registryPb.SignedHeadSchema, { head: bytes, signature: fakeSign(node.key, bytes) })
}

test('a host announces the version of its program and of its protocols, and others see them', () => {
  const [a, b] = mesh(new Time(), 'a', 'b') as [Node, Node]
  b.announce({ softwareVersion: '1.2.3', protocolVersions: VERSIONS })
  a.pull(b)
  const view = owner(a.state, b.peer)
  assert.equal(view?.softwareVersion, '1.2.3')
  assert.deepEqual(view?.protocolVersions, VERSIONS)
})

test('of a host that announces no versions they are unknown', () => {
  const [a, b] = mesh(new Time(), 'a', 'b') as [Node, Node]
  a.pull(b)
  const view = owner(a.state, b.peer)
  assert.equal(view?.softwareVersion, '')
  assert.deepEqual(view?.protocolVersions, [])
})

test('what is no version in a head counts as unknown, and the head counts', () => {
  const [, b] = mesh(new Time(), 'a', 'b') as [Node, Node]
  const head = lastHead(b)
  const entry = (name: string, min: number, max: number) =>
    create(registryPb.ProtocolVersionsSchema, { name, min, max })
  head.softwareVersion = '1.0\u001b[2J'
  head.protocolVersions = [
    entry('mesh', 2, 1),
    entry('session', 0, 1),
    entry('fast-path', 1, 65_536),
    entry('Two Words', 1, 1),
    entry('x'.repeat(25), 1, 1),
    entry('datagrams', 1, 4),
    entry('datagrams', 2, 3)
  ]
  const opened = openHead(signed(b, head), TD, DEFAULT_LIMITS).head
  assert.equal(opened.softwareVersion, '')
  assert.deepEqual(opened.protocolVersions, [{ name: 'datagrams', min: 2, max: 3 }])
  head.protocolVersions = Array.from({ length: 17 }, (_, at) => entry(`p${at}`, 1, 1))
  assert.deepEqual(openHead(signed(b, head), TD, DEFAULT_LIMITS).head.protocolVersions, [])
})

test('a head with fields that a later program adds is taken, and what is not known of it is ignored', () => {
  const [, b] = mesh(new Time(), 'a', 'b') as [Node, Node]
  // Field 500, of bytes: "later".
  const later = Buffer.from([0xa2, 0x1f, 5, ...Buffer.from('later')])
  const { head, bytes } = openHead(signed(b, lastHead(b), later), TD, DEFAULT_LIMITS)
  assert.equal(head.machine, 'b')
  // Its bytes stay as they were signed, for the hosts that they are handed on to.
  assert.ok(Buffer.from(bytes).includes('later'))
})
