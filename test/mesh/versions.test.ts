import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode, type WarrenError } from '../../src/core/index.ts'
import { PeerStreams } from '../../src/mesh/connections/peer-streams.ts'
import type { MeshProtocol } from '../../src/mesh/index.ts'
import { DATA, RELAY, RELAYED, REQUESTS, versionsAmong } from '../../src/mesh/protocols.ts'
import { startPair } from './support.ts'

const LIMITS = { maxRequestBytes: 1_000, maxResponseBytes: 1_000 }
const KB1 = { maxResponseBytes: 1_000, timeoutMs: 60_000 }

const refusal = (pattern: RegExp) => (err: WarrenError) => {
  assert.equal(err.code, ErrorCode.Unsupported)
  assert.match(err.reason, pattern)
  return true
}

test('the streams of the mesh have the names that hosts of the first version use', () => {
  assert.deepEqual(
    [DATA, RELAY, RELAYED, REQUESTS].map(({ names }) => names.at(-1)),
    ['/warren/data/1', '/warren/relay/1', '/warren/relayed/1', '/warren/request/1']
  )
})

test('a request of a version that the other host does not speak is refused with both versions', async t => {
  const [a, b] = await startPair(t)
  a.mesh.handle('/warren/probe/1', async () => new Uint8Array(), LIMITS)
  const ask = (protocol: string) => b.mesh.request(a.mesh.peer, protocol as MeshProtocol, Buffer.from('x'), KB1)
  const both = /of the protocol \/warren\/probe\/7 this host speaks version 1: upgrade the older of the two/
  await assert.rejects(ask('/warren/probe/7'), refusal(both))
  await assert.rejects(ask('/warren/later/1'), refusal(/does not speak that protocol: its program may be older/))
  // Nothing of a name that is none is repeated.
  await assert.rejects(ask('\u001b[2J/warren/probe/7'), refusal(/^the peer answered: this host does not speak that/))
  assert.equal((await ask('/warren/probe/1')).length, 0)
})

test('a stream of a version that the other host does not speak is refused with both versions', async () => {
  const unsupported = Object.assign(new Error('could not negotiate'), { name: 'UnsupportedProtocolError' })
  const connection = { newStream: async () => Promise.reject(unsupported) }
  const streams = new PeerStreams({
    ensure: async () => {},
    openTo: () => connection as never,
    spokenBy: async () => ['/warren/data/2', '/warren/data/3', '/warren/data/2\u001b[2J', '/meshsub/1.1.0']
  })
  const opening = streams.open('peer' as never, DATA, AbortSignal.timeout(10_000))
  await assert.rejects(
    opening,
    refusal(/of the protocol \/warren\/data\/1 the other host speaks version 2, 3: upgrade/)
  )
})

test('an error names a few versions, whatever the other host says that it speaks', () => {
  const many = Array.from({ length: 100 }, (_, at) => `/warren/data/${at}`)
  assert.equal(versionsAmong(many, '/warren/data/1'), '0, 1, 2, 3, 4, 5, 6, 7')
  assert.equal(versionsAmong(many, 'no name'), '')
})
