import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { IS_LONG, scopeOf, startPair, type TestAgent } from '../harness/index.ts'

const TOTAL_MB = IS_LONG ? 200 : 100
const TOTAL_BYTES = TOTAL_MB * 1024 * 1024
const CHUNK_BYTES = 64 * 1024
const STALL_MS = IS_LONG ? 5_000 : 2_000
const MAX_GROWTH_BYTES = 64 * 1024 * 1024

/** Sends TOTAL_BYTES that differ all along, ends, and returns their hash. */
async function send(socket: Socket, seed: number): Promise<string> {
  const hash = createHash('sha256')
  for (let sent = 0; sent < TOTAL_BYTES; sent += CHUNK_BYTES) {
    const chunk = Buffer.alloc(CHUNK_BYTES, `${seed}:${sent};`)
    hash.update(chunk)
    if (!socket.write(chunk)) await new Promise(resolve => socket.once('drain', resolve))
  }
  socket.end()
  return hash.digest('hex')
}

/** Reads to the end, with a stall half-way if asked, and returns the hash and the number of bytes. */
async function receive(socket: Socket, stallMs: number): Promise<{ hash: string; bytes: number }> {
  const hash = createHash('sha256')
  let bytes = 0
  let stalled = stallMs === 0
  // Left to itself, the iterator destroys the socket at the end of what it reads, while the other direction still runs.
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    hash.update(chunk)
    bytes += chunk.length
    if (!stalled && bytes > TOTAL_BYTES / 2) {
      stalled = true
      await pause(stallMs)
    }
  }
  return { hash: hash.digest('hex'), bytes }
}

/** Follows the resident memory of an agent; `stop` gives by how much it ever exceeded that of now. */
function followMemory(agent: TestAgent): { stop: () => number } {
  const before = agent.residentBytes()
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, agent.residentBytes())
  }, 50)
  return {
    stop: () => {
      clearInterval(timer)
      return most - before
    }
  }
}

for (const carrier of ['direct', 'reverse', 'mesh'] as const) {
  test(`${TOTAL_MB} MB each way at once arrive intact past a stalled reader, in little memory (${carrier})`, async t => {
    const scope = scopeOf(t)
    const [a, b] = await startPair(scope, { args: ['--carrier', carrier] })
    await a.allow('dev.*.*.*', 'dev.*.*.*')
    await b.follows(a)
    const server = new AgentClient({ runtimeDir: a.runtimeDir })
    const client = new AgentClient({ runtimeDir: b.runtimeDir })
    scope.defer(async () => await Promise.all([server.close(), client.close()]))
    const accepted = Promise.withResolvers<Socket>()
    let connections = 0
    await listen('dev.web.bulk.default', { client: server }, socket => {
      connections += 1
      // The first one only warms the session up, so that the memory of the code itself is there before it is measured.
      if (connections === 1) socket.pipe(socket)
      else accepted.resolve(socket)
    })
    await b.knows('dev.web.bulk.default')
    const first = await connect('dev.web.bulk.default', { client, as: 'dev.bulk.client.default' })
    first.end('warm')
    assert.equal((await first.toArray()).join(''), 'warm')

    const near = await connect('dev.web.bulk.default', { client, as: 'dev.bulk.client.default' })
    const far = await accepted.promise
    assert.equal(JSON.parse(await b.cli('flows', '--json')).flows[0].carrier, carrier)
    const memory = [followMemory(a), followMemory(b)]
    const started = performance.now()
    const [sentThere, sentBack, gotThere, gotBack] = await Promise.all([
      send(near, 1),
      send(far, 2),
      receive(far, STALL_MS),
      receive(near, 0)
    ])
    const seconds = (performance.now() - started) / 1_000
    const growth = memory.map(one => one.stop())
    const inMiB = growth.map(bytes => `${Math.round(bytes / 1024 / 1024)} MiB`).join(' and ')
    t.diagnostic(
      `${seconds.toFixed(1)} s with the stall of ${STALL_MS / 1_000} s; memory of the agents grew by ${inMiB}`
    )

    assert.deepEqual(gotThere, { hash: sentThere, bytes: TOTAL_BYTES })
    assert.deepEqual(gotBack, { hash: sentBack, bytes: TOTAL_BYTES })
    for (const bytes of growth) assert.ok(bytes < MAX_GROWTH_BYTES, `memory grew by ${inMiB}`)
  })
}
