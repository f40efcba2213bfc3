import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import type { Transport } from '@libp2p/interface'
import { parseHostPort, silentLogger } from '../../src/core/index.ts'
import { meshEnd } from '../../src/mesh/index.ts'
import { SharedPort, sharedPortTest } from '../../src/mesh/libp2p-shims/shared-port.ts'
import { MAX_PENDING_CONNECTIONS_PER_HOST } from '../../src/mesh/limits.ts'
import { settled } from '../harness/index.ts'
import { connection, type Host, makeHost, startHost, until } from './support.ts'

const OURS = 0x16

interface Shared {
  readonly host: Host
  /** What the other protocol at the port received, by connection. */
  readonly served: Array<{ readonly byte: number; readonly socket: Socket; text: string }>
}

/** A mesh that shares its port with a protocol that echoes, and begins with the byte `OURS`. */
async function sharing(t: TestContext): Promise<Shared> {
  const host = await makeHost(t, 'alpha')
  const served: Shared['served'] = []
  host.mesh.sharePort({
    takes: byte => byte === OURS,
    serve: (socket, byte) => {
      const one = { byte, socket, text: '' }
      served.push(one)
      socket.on('data', (chunk: Buffer) => {
        one.text += chunk.toString('latin1')
        socket.write(chunk)
      })
    }
  })
  await host.mesh.start()
  return { host, served }
}

async function dialled(t: TestContext, { mesh }: Host): Promise<Socket> {
  const socket = connect(meshEnd(mesh.addresses()[0] ?? ''))
  socket.on('error', () => {})
  t.after(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

/** Resolves when a connection has closed, in order or by a reset. */
const closed = (socket: Socket): Promise<unknown> =>
  settled(
    new Promise<void>(resolve => (socket.closed ? resolve() : void socket.resume().once('close', () => resolve()))),
    'the end of a connection'
  )

/** A host that is not connected yet is admitted at the port. */
async function joins(t: TestContext, { mesh }: Host, name: string): Promise<void> {
  const other = await startHost(t, name, { bootstrap: mesh.addresses() })
  await until(() => mesh.isConnected(other.mesh.peer))
}

test('a connection that begins as another protocol is handed to it whole, and hosts join at the same port', async t => {
  const { host, served } = await sharing(t)
  const socket = await dialled(t, host)
  const bytes = Buffer.concat([Buffer.of(OURS), Buffer.from('hello')])
  socket.write(bytes)
  const [echo] = await settled(once(socket, 'data'), 'the echo')
  assert.deepEqual(echo, bytes)
  await joins(t, host, 'beta')
  assert.deepEqual(
    served.map(({ byte, text }) => [byte, text]),
    [[OURS, bytes.toString('latin1')]]
  )
  await host.mesh.stop()
  await closed(socket)
})

test('first bytes that come late or one at a time lead to the protocol that they begin', async t => {
  const { host, served } = await sharing(t)
  const [ours, libp2p] = [await dialled(t, host), await dialled(t, host)]
  const header = Buffer.from('\x13/multistream/1.0.0\n')
  const answered = once(libp2p, 'data')
  for (const byte of header) {
    libp2p.write(Buffer.of(byte))
    await new Promise(resolve => setImmediate(resolve))
  }
  await joins(t, host, 'beta')
  ours.write(Buffer.of(OURS))
  await settled(once(ours, 'data'), 'the echo')
  const [answer] = await settled(answered, 'the answer of libp2p')
  assert.deepEqual(answer.subarray(0, header.length), header)
  assert.equal(served.length, 1)
})

test('what begins as no protocol, or not at all, is closed and reaches no other protocol', async t => {
  const { host, served } = await sharing(t)
  const [silent, garbage, ended] = [await dialled(t, host), await dialled(t, host), await dialled(t, host)]
  garbage.write(Buffer.alloc(512, 0xff))
  ended.end()
  await Promise.all([closed(silent), closed(garbage), closed(ended)])
  assert.deepEqual(served, [])
  await joins(t, host, 'beta')
})

test('a flood of silent connections from one address keeps neither hosts nor the other protocol out', async t => {
  const { host, served } = await sharing(t)
  const flood = await Promise.all(Array.from({ length: MAX_PENDING_CONNECTIONS_PER_HOST + 64 }, () => dialled(t, host)))
  const ours = await dialled(t, host)
  ours.write(Buffer.of(OURS))
  await settled(once(ours, 'data'), 'the echo')
  await joins(t, host, 'beta')
  assert.equal(served.length, 1)
  assert.ok(host.hits.includes('mesh_pending_connections_per_host'))
  await Promise.all(flood.map(closed))
})

test('a mesh knows where it has dialled a host, and of a host that has dialled it that it did not', async t => {
  const a = await startHost(t, 'alpha')
  const b = await startHost(t, 'beta', { bootstrap: a.mesh.addresses() })
  await connection(a, b)
  const ends = [
    [a.mesh.dialledAt(b.mesh.peer), meshEnd(b.mesh.addresses()[0] ?? '')],
    [b.mesh.dialledAt(a.mesh.peer), meshEnd(a.mesh.addresses()[0] ?? '')]
  ]
  assert.deepEqual(ends.map(([found]) => found !== undefined).toSorted(), [false, true])
  for (const [found, listening] of ends) if (found !== undefined) assert.deepEqual(found, listening)
  assert.equal(a.mesh.dialledAt(a.mesh.peer), undefined)
})

test('a transport whose listeners do not show their server is found, and used without sharing', async () => {
  const other = { createListener: () => ({}) } as unknown as Transport
  const { run, isRequired } = sharedPortTest(other)
  assert.match((await run(new AbortController().signal)) ?? '', /does not show its server/)
  assert.equal(isRequired, false)
  const enter = (): never => assert.fail('a connection was held')
  const shared = new SharedPort({ enter, log: silentLogger, stopping: new AbortController().signal })
  assert.deepEqual(shared.watch(other).createListener({} as never), {})
})

test('a mesh address leads to a host and a port', () => {
  assert.deepEqual(meshEnd('/ip4/192.0.2.1/tcp/7460'), parseHostPort('192.0.2.1:7460'))
  assert.deepEqual(meshEnd('/dns4/a.example/tcp/1'), { host: 'a.example', port: 1 })
  assert.throws(() => meshEnd('/unix/tmp/x'), { code: 'INVALID_ARGUMENT' })
})
