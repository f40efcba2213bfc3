import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import test from 'node:test'
import { AgentClient, connect, listen } from '../../src/client/index.ts'
import { scopeOf, startPair, type TestAgent, waitFor } from '../harness/index.ts'

const FLOWS = 300
const BYTES = 1024 * 1024
const MIB = 1024 * 1024
/** For what a flow costs besides its bytes: its sockets, its stream, and garbage that is not collected yet. */
const BYTES_OF_A_FLOW = 60 * 1024
const SITE = 'dev.web.bulk.default'
const AS = 'dev.bulk.client.default'

async function waitingIn(agent: TestAgent): Promise<number> {
  return Number(/^warren_flow_waiting_bytes (\d+)$/m.exec(await agent.cli('metrics'))?.[1])
}

for (const carrier of ['direct', 'mesh'] as const) {
  test(`readers of one session that stand still cost its budget, stop no other flow, and the memory comes back (${carrier})`, async t => {
    const scope = scopeOf(t)
    const [a, b] = await startPair(scope, { args: ['--carrier', carrier] })
    await a.allow('dev.*.*.*', 'dev.*.*.*')
    await b.follows(a)
    const server = new AgentClient({ runtimeDir: a.runtimeDir })
    const client = new AgentClient({ runtimeDir: b.runtimeDir })
    scope.defer(async () => await Promise.all([server.close(), client.close()]))
    const accepted: Socket[] = []
    let isEchoing = false
    await listen(SITE, { client: server }, socket => {
      socket.on('error', () => {})
      accepted.push(socket)
      if (isEchoing) socket.pipe(socket)
      // Its own bytes are not read either.
      else socket.pause().write(Buffer.alloc(BYTES))
    })
    await b.knows(SITE)
    // A busy machine may have one host doubt the other for a moment, which is no matter of this test.
    const dial = async (): Promise<Socket> => {
      const socket = await waitFor(async () => await connect(SITE, { client, as: AS }), 'a connection')
      return socket.on('error', () => {}).pause()
    }
    const before = [a, b].map(agent => agent.residentBytes())
    const sockets: Socket[] = []
    for (let opened = 0; opened < FLOWS; opened += 1) {
      const socket = await dial()
      socket.write(Buffer.alloc(BYTES))
      sockets.push(socket)
    }
    // What can move has moved, when two looks see the same.
    let last = [-1]
    await waitFor(async () => {
      const now = [await waitingIn(a), await waitingIn(b)]
      const isStill = now.join() === last.join()
      last = now
      return isStill
    }, 'all flows to stand still')
    const grown = [a, b].map((agent, index) => agent.residentBytes() - (before[index] ?? 0))
    t.diagnostic(
      `${last.map(bytes => Math.round(bytes / MIB))} MiB wait; the agents grew by ${grown.map(bytes => Math.round(bytes / MIB))} MiB`
    )
    // The budget of the session and what each flow may hold beyond it: of its window, and one small read.
    for (const bytes of last) assert.ok(bytes < 48 * MIB + FLOWS * 20 * 1024, `${bytes} bytes wait`)
    for (const bytes of grown) assert.ok(bytes < 100 * MIB + FLOWS * BYTES_OF_A_FLOW, `${bytes} bytes`)
    assert.match(await a.cli('metrics'), /^warren_limit_hits_total\{limit="proxy_waiting_bytes_per_session"\} [1-9]/m)
    assert.match(a.program.stderr, /"limitName":"proxy_waiting_bytes_per_session"/)

    // Another flow of the same session moves meanwhile, one way and the other.
    isEchoing = true
    const moving = await dial()
    moving.resume().end(Buffer.alloc(BYTES, 'x'))
    let received = 0
    for await (const chunk of moving as AsyncIterable<Buffer>) received += chunk.length
    assert.equal(received, BYTES)

    for (const socket of [...sockets, ...accepted]) socket.destroy()
    await waitFor(
      () => [a, b].every((agent, index) => agent.residentBytes() - (before[index] ?? 0) < 64 * MIB),
      'the memory to come back',
      120_000
    )
  })
}
