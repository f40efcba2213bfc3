// Answers of which everything, the end included, has come before anybody reads: over HTTP/2 an iterator that begins too late finds
// a stream that is closed while bytes wait, and loses them.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type SpiffeHandlers, serveSpiffeApi, serveWorkloadApi, type WorkloadHandlers } from '../../src/api/index.ts'
import { fetchOnce } from '../../src/cli/svid/source.ts'
import { AgentClient, register } from '../../src/client/index.ts'
import { silentLogger } from '../../src/core/index.ts'
import { apiPb, create } from '../../src/wire/index.ts'
import { spiffeSocket } from '../api/spiffe-socket.ts'
import { fakeCredentials, tempDir, workloadHandlers } from '../api/support.ts'

const FRAME_HEADER_BYTES = 9
const DATA = 0
const HEADERS = 1
const END_STREAM = 1
/** Enough for a few frames, and less than the window that the client opens before it has read anything. */
const REGISTERED = {
  token: 't',
  registrationId: 'id',
  address: 'dev.web.nginx.default.m1',
  spiffeId: 'x'.repeat(40_000)
}

/** Whether this is a frame that ends a stream; its size; undefined if it is not there in full. */
function frameAt(bytes: Buffer): { readonly size: number; readonly ends: boolean } | undefined {
  if (bytes.length < FRAME_HEADER_BYTES) return undefined
  const size = FRAME_HEADER_BYTES + bytes.readUIntBE(0, 3)
  if (bytes.length < size) return undefined
  const type = bytes.readUInt8(3)
  return { size, ends: (type === DATA || type === HEADERS) && (bytes.readUInt8(4) & END_STREAM) !== 0 }
}

/** A socket at `path` whose clients get what the server at `behind` says in one piece for each answer, once that has ended. */
async function inOnePiece(t: TestContext, path: string, behind: string): Promise<{ readonly pieces: number[] }> {
  const pieces: number[] = []
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const there = connect({ path: behind })
    for (const socket of [client, there]) sockets.add(socket.on('error', () => {}))
    client.pipe(there)
    client.once('close', () => there.destroy())
    let held = Buffer.alloc(0)
    let whole = 0
    there.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk])
      for (let frame = frameAt(held.subarray(whole)); frame !== undefined; frame = frameAt(held.subarray(whole))) {
        whole += frame.size
        if (!frame.ends) continue
        pieces.push(whole)
        client.write(held.subarray(0, whole))
        held = held.subarray(whole)
        whole = 0
      }
    })
  })
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  server.listen(path)
  await once(server, 'listening')
  return { pieces }
}

async function setUp(t: TestContext, handlers: Partial<WorkloadHandlers>, spiffe?: Partial<SpiffeHandlers>) {
  const [runtimeDir, front] = [await tempDir(t), await tempDir(t)]
  const { read: credentials } = fakeCredentials()
  const options = { runtimeDir, credentials, log: silentLogger }
  const server = await serveWorkloadApi({ ...options, handlers: workloadHandlers(handlers) })
  t.after(() => server.close())
  const relays = [await inOnePiece(t, join(front, 'agent.sock'), join(runtimeDir, 'agent.sock'))]
  if (spiffe !== undefined) {
    const workloads = await serveSpiffeApi({ ...options, handlers: spiffeSocket(spiffe) })
    t.after(() => workloads.close())
    relays.push(await inOnePiece(t, join(front, 'spiffe.sock'), join(runtimeDir, 'spiffe.sock')))
  }
  const client = new AgentClient({ runtimeDir: front })
  t.after(() => client.close())
  return { client, pieces: () => relays.flatMap(({ pieces }) => pieces) }
}

test('a call whose whole answer comes in one piece has all of it', async t => {
  const { client, pieces } = await setUp(t, { register: async () => REGISTERED })
  for (let round = 0; round < 3; round += 1) {
    const answer = await client.workload.register({ address: 'dev.web.nginx.default' })
    assert.equal(answer.spiffeId, REGISTERED.spiffeId)
  }
  assert.ok(pieces().every(size => size > 0))
})

test('a stream whose events and end come in one piece has every event, however slow its reader', async t => {
  const { client, pieces } = await setUp(t, {
    async *watchServices() {
      for (let version = 1; version <= 20; version += 1) {
        yield { services: [{ address: `dev.web.n${version}.default.m1`, spiffeId: 'x'.repeat(2_000) }] }
      }
    }
  })
  const seen: string[] = []
  for await (const { services } of client.workload.watchServices({ pattern: '' })) {
    for (const { address } of services) seen.push(address)
    await new Promise(resolve => setImmediate(resolve))
  }
  assert.equal(seen.length, 20)
  assert.equal(pieces().length, 1)
})

test('a registration that the agent ends in the first piece of its stream is over, with the reason', async t => {
  const { client } = await setUp(t, {
    register: async () => REGISTERED,
    async *keep() {
      yield create(apiPb.KeepResponseSchema, { event: { case: 'alive', value: {} } })
      yield create(apiPb.KeepResponseSchema, { event: { case: 'ended', value: { reason: 'its grant was withdrawn' } } })
    }
  })
  const registration = await register('dev.web.nginx.default', { client })
  assert.equal((await registration.closed).reason, 'its grant was withdrawn')
})

test('an identity that comes with the end of its stream in one piece is there', async t => {
  const svid = { spiffeId: 'spiffe://example.org/dev/web/nginx/default/m1', x509Svid: Buffer.alloc(2_000, 1) }
  const { client, pieces } = await setUp(
    t,
    {},
    {
      async *fetchX509SVID() {
        yield { svids: [svid] }
      }
    }
  )
  const [found] = await fetchOnce(client, AbortSignal.timeout(20_000))
  assert.equal(found?.spiffeId, svid.spiffeId)
  assert.deepEqual(found?.x509Svid, Uint8Array.from(svid.x509Svid))
  assert.equal(pieces().length, 1)
})
