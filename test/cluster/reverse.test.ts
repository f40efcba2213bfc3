import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { dataPorts, reverseParts, wireReverse } from '../../src/cluster/index.ts'
import { ErrorCode, formatHostPort } from '../../src/core/index.ts'
import type { RegistryState } from '../../src/registry/index.ts'
import { connection, type Host, makeHost, startPair } from '../mesh/support.ts'

const NO_STATE = {} as RegistryState
const ask = (from: Host, to: Host, tokens: number): Promise<number> =>
  reverseParts(from.mesh, NO_STATE).ask(to.mesh.peer, Buffer.alloc(32 * tokens, 7), AbortSignal.timeout(10_000))

test('a host that asks is dialled where it has proved itself, whatever addresses it announces', () => {
  const announced = ['198.51.100.9:22', '192.0.2.1:7461', '[2001:db8::9]:53']
  assert.deepEqual(dataPorts('192.0.2.1', announced), [{ host: '192.0.2.1', port: 7461 }])
  assert.deepEqual(dataPorts('2001:db8::9', announced), [{ host: '2001:db8::9', port: 53 }])
  assert.deepEqual(
    dataPorts('203.0.113.5', ['host.example:7461', '192.0.2.1:7461']),
    [{ host: '203.0.113.5', port: 7461 }],
    'behind a forwarded port, or with a name'
  )
  assert.deepEqual(dataPorts(undefined, announced), [], 'without a connection to it')
  assert.deepEqual(dataPorts('192.0.2.1', []), [])
  assert.deepEqual(dataPorts('192.0.2.1', ['', 'nonsense', '192.0.2.1:0', '192.0.2.1:99999', ':']), [])
})

test('no announcement leads anywhere but to the address of the connection', () => {
  const end = fc.oneof(
    fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 70_000 })).map(([host, port]) => `${host}:${port}`),
    fc.tuple(fc.ipV6(), fc.nat(65_535)).map(([host, port]) => formatHostPort({ host, port })),
    fc.string()
  )
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.array(end), (proven, announced) => {
      for (const { host, port } of dataPorts(proven, announced)) {
        assert.equal(host, proven)
        assert.ok(port > 0 && port < 65_536)
      }
    })
  )
})

test('a mesh knows at which address each peer has proved its key', async t => {
  const [a, b] = await startPair(t)
  assert.equal(a.mesh.remoteAddressOf(b.mesh.peer), '127.0.0.1')
  assert.equal(b.mesh.remoteAddressOf(a.mesh.peer), '127.0.0.1')
  assert.equal(a.mesh.remoteAddressOf(a.mesh.peer), undefined)
})

test('a request names its requester by the mesh connection that brings it, and its answer says how many are made', async t => {
  const a = await makeHost(t, 'alpha')
  const asked: Array<readonly [string, number]> = []
  wireReverse(a.mesh, {
    connectBack: (peer, request) => {
      asked.push([peer, request.length])
      return 1
    }
  })
  await a.mesh.start()
  const b = await makeHost(t, 'beta', { bootstrap: a.mesh.addresses() })
  b.mesh.handle('/warren/probe/1', async () => new Uint8Array(), { maxRequestBytes: 1_024, maxResponseBytes: 1_024 })
  await b.mesh.start()
  await connection(a, b)
  assert.equal(await ask(b, a, 2), 1)
  assert.deepEqual(asked, [[b.mesh.peer, 64]])
  // An agent of an earlier version serves no such requests.
  await assert.rejects(ask(a, b, 1), { code: ErrorCode.Unsupported })
  await assert.rejects(ask(b, a, 33))
  assert.equal(asked.length, 1)
})
