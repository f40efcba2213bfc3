import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import {
  asRoot,
  IS_LONG,
  isInstalled,
  needsCommand,
  Program,
  type Scope,
  scopeOf,
  settled,
  type TestAgent,
  waitFor
} from '../harness/index.ts'
import { closed, dial, endOf, hashAll, readAll, readBytes, writeMany } from '../proxy/support/sockets.ts'
import { brokered, type Course, type Pair, plain } from './paths.ts'

const MIB = 1024 * 1024
/** Of the large transfer, each way. By hand: TEST_CONFORMANCE_MIB=1024. What memory a flow takes: test/integration/bulk.test.ts too. */
const LARGE_BYTES = Number(process.env['TEST_CONFORMANCE_MIB'] ?? (IS_LONG ? 64 : 20)) * MIB
/** What may be on its way to a reader that has stalled. Linux raises the window of a connection that was read fast (docs/limits.md). */
const MAX_STALLED_BYTES = 4 * MIB + raisedWindowBytes()
/** Below what is transferred each way, or it would say nothing. */
const MAX_GROWTH_BYTES = Math.min(64 * MIB, LARGE_BYTES)
const FLOWS_AT_ONCE = IS_LONG ? 1_000 : 200
/** From the loss of the other agent, or of the link, until the workload sees it: what Liveness promises is below. */
const CUT_WITHIN_MS = 10_000

const WAYS: ReadonlyArray<
  readonly [
    name: string,
    carrier: string | undefined,
    setUp: (scope: Scope) => Promise<Course>,
    needs?: { readonly skip: string | false }
  ]
> = [
  ['a plain unix socket (the control)', undefined, plain],
  ['the same host', 'local', scope => brokered(scope, 'local')],
  ['a direct connection', 'direct', scope => brokered(scope, 'direct')],
  ['a stream of the mesh', 'mesh', scope => brokered(scope, 'mesh')],
  ['a relay', 'relay via middle', scope => brokered(scope, 'relay')],
  ['a connection that a host behind a NAT dials back', 'reverse', scope => brokered(scope, 'NAT'), isHidable()]
]

/** The most that the agents' memory exceeded that of now, together. */
function followMemory(agents: readonly TestAgent[]): () => number {
  const now = (): number => agents.reduce((sum, agent) => sum + agent.residentBytes(), 0)
  const start = now()
  let most = start
  const timer = setInterval(() => {
    most = Math.max(most, now())
  }, 50)
  return () => {
    clearInterval(timer)
    return most - start
  }
}

async function bothAreCut({ client, server }: Pair): Promise<void> {
  const ends = Promise.all([endOf(client), endOf(server)])
  const [here, there] = await settled(ends, 'both ends to be cut', CUT_WITHIN_MS)
  assert.deepEqual([here.end, there.end], ['cut', 'cut'])
}

async function echo({ client, server }: Pair, words: string): Promise<void> {
  client.write(words)
  assert.equal((await readBytes(server, words.length)).toString(), words)
  server.write(words)
  assert.equal((await readBytes(client, words.length)).toString(), words)
}

function isHidable(): { readonly skip: string | false } {
  return asRoot.skip === false && !isInstalled('nft') ? { skip: 'needs nft, which is not installed' } : asRoot
}

function raisedWindowBytes(): number {
  if (process.platform !== 'linux') return 0
  return Number(readFileSync('/proc/sys/net/ipv4/tcp_rmem', 'utf8').trim().split(/\s+/)[2])
}

for (const [name, carrier, setUp, needs = {}] of WAYS) {
  describe(`over ${name}`, needs, () => {
    let course: Course
    let open: () => Promise<Pair>
    const scope = scopeOf({ after: fn => after(fn as () => Promise<void>) })
    before(async () => {
      course = await setUp(scope)
      open = course.open
    })

    it('goes the way that it is meant to go', async () => {
      const pair = await open()
      await echo(pair, 'here')
      for (const agent of course.agents.slice(0, 2)) {
        const { flows = [] } = JSON.parse(await agent.cli('flows', '--json')) as { flows?: Array<{ carrier: string }> }
        assert.deepEqual([...new Set(flows.map(flow => flow.carrier))], [carrier])
      }
      pair.client.destroy()
    })

    it('a client that has ended its side still gets the whole answer', async () => {
      const { client, server } = await open()
      client.end('question')
      assert.equal((await readAll(server)).toString(), 'question')
      const answer = randomBytes(3 * MIB)
      server.end(answer)
      assert.ok((await readAll(client)).equals(answer))
    })

    it('a server that has ended its side still gets the whole upload', async () => {
      const { client, server } = await open()
      server.end('banner')
      assert.equal((await readAll(client)).toString(), 'banner')
      const upload = randomBytes(3 * MIB)
      client.end(upload)
      assert.ok((await readAll(server)).equals(upload))
    })

    it('an end that comes while data still flows the other way stops nothing of it', async () => {
      const { client, server } = await open()
      const down = writeMany(server, 8 * MIB, 1)
      await readBytes(client, 1)
      client.end('that was all')
      const [sent, there, here] = await Promise.all([down, readAll(server), hashAll(client)])
      assert.equal(there.toString(), 'that was all')
      assert.equal(here.bytes, 8 * MIB - 1)
      assert.match(sent, /^[0-9a-f]{64}$/)
    })

    it('two ends that come at once are both clean', async () => {
      const { client, server } = await open()
      const gone = [closed(client), closed(server)]
      client.end('from the client')
      server.end('from the server')
      const [up, down] = await Promise.all([readAll(server), readAll(client)])
      assert.deepEqual([up.toString(), down.toString()], ['from the client', 'from the server'])
      await Promise.all(gone)
    })

    it('a client that breaks off is a cut for the server, and never a clean end', async () => {
      const { client, server } = await open()
      server.write(randomBytes(2 * MIB))
      await once(client, 'readable')
      // With bytes that it has not read, as a process that is killed.
      client.destroy()
      assert.equal((await endOf(server)).end, 'cut')
    })

    it('a server that breaks off is a cut for the client, and never a clean end', async () => {
      const { client, server } = await open()
      client.write(randomBytes(2 * MIB))
      await once(server, 'readable')
      server.destroy()
      assert.equal((await endOf(client)).end, 'cut')
    })

    it('single bytes arrive one after another', async () => {
      const { client, server } = await open()
      server.pipe(server)
      for (let value = 0; value < 256; value += 1) {
        client.write(Buffer.of(value))
        assert.deepEqual([...(await readBytes(client, 1))], [value])
      }
      client.end()
      assert.equal((await readAll(client)).length, 0)
    })

    it(`${LARGE_BYTES / MIB} MiB each way at once arrive unchanged, in little memory`, async t => {
      const { client, server } = await open()
      const growth = followMemory(course.agents)
      const startedMs = performance.now()
      const [sentUp, sentDown, gotUp, gotDown] = await Promise.all([
        writeMany(client, LARGE_BYTES, 1),
        writeMany(server, LARGE_BYTES + 17, 2),
        hashAll(server),
        hashAll(client)
      ])
      const seconds = (performance.now() - startedMs) / 1_000
      const grown = growth()
      t.diagnostic(
        `${seconds.toFixed(2)} s, ${Math.round((2 * LARGE_BYTES) / MIB / seconds)} MiB/s in all; ` +
          `the agents grew by ${Math.round(grown / MIB)} MiB together`
      )
      assert.deepEqual(gotUp, { hash: sentUp, bytes: LARGE_BYTES })
      assert.deepEqual(gotDown, { hash: sentDown, bytes: LARGE_BYTES + 17 })
      assert.ok(grown < MAX_GROWTH_BYTES * Math.max(1, course.agents.length), `memory grew by ${grown} bytes`)
    })

    it('a reader that stalls stops its sender early, and no other connection', async () => {
      const stalled = await open()
      const chunk = randomBytes(256 * 1024)
      let offered = 0
      const pour = (): void => {
        do offered += chunk.length
        while (stalled.client.write(chunk))
      }
      stalled.client.on('drain', pour)
      pour()
      stalled.server.pause()
      for (let round = 0; round < 4; round += 1) {
        const { client, server } = await open()
        const [sent, got] = await Promise.all([writeMany(client, 4 * MIB, round), hashAll(server)])
        assert.deepEqual(got, { hash: sent, bytes: 4 * MIB })
        client.destroy()
      }
      const taken = offered - stalled.client.writableLength
      assert.ok(taken < MAX_STALLED_BYTES, `${taken} bytes were taken for a reader that has stalled`)
      // And it goes on as if nothing had been.
      stalled.client.off('drain', pour)
      stalled.client.end()
      assert.equal((await hashAll(stalled.server)).bytes, offered)
    })

    it('a server that is slow to accept gets everything, the end included', async () => {
      const path = join(scope.directory(), 'slow')
      const script = `require('node:net').createServer({ allowHalfOpen: true }, s => s.pipe(s)).listen(process.argv[1], () => console.log('up'))`
      const slow = new Program(scope, [process.execPath, '-e', script, path])
      await slow.says(/up/)
      const back = await course.serveAt(path)
      const endpoint = await course.path()
      slow.signal('SIGSTOP')
      const client = await dial(endpoint)
      const words = randomBytes(MIB)
      for (let at = 0; at < MIB; at += 4_096) client.write(words.subarray(at, at + 4_096))
      client.end()
      const answer = readAll(client)
      // The kernel has connected on its behalf; what is under way waits in buffers.
      await waitFor(() => client.writableLength < words.length, 'some of it to be taken')
      slow.signal('SIGCONT')
      assert.ok((await answer).equals(words))
      await slow.kill()
      await back()
    })

    it(`${FLOWS_AT_ONCE} connections at once carry their own bytes and leave nothing behind`, async t => {
      const startedMs = performance.now()
      const one = async (): Promise<void> => {
        const { client, server } = await open()
        server.pipe(server)
        const sent = randomBytes(1_000)
        client.end(sent)
        assert.ok((await readAll(client)).equals(sent))
      }
      await Promise.all(Array.from({ length: FLOWS_AT_ONCE }, one))
      t.diagnostic(`${Math.round(performance.now() - startedMs)} ms`)
      for (const agent of course.agents) {
        await waitFor(async () => ((await agent.status()).flows ?? 0) === 0, `no flow to be left at ${agent.name}`)
      }
    })

    it('a link that drops cuts what it carried at both ends, and serves again when it is back', async t => {
      const { link } = course
      if (link === undefined) {
        t.skip('no link between hosts here')
        return
      }
      if (!needsCommand(t, 'nft')) return
      const pair = await open()
      await echo(pair, 'before')
      const cut = bothAreCut(pair)
      link.cut()
      const startedMs = performance.now()
      try {
        await cut
        t.diagnostic(`cut to both ends: ${Math.round(performance.now() - startedMs)} ms`)
      } finally {
        link.heal()
      }
      const healedMs = performance.now()
      const again = await open()
      await echo(again, 'after')
      again.client.destroy()
      t.diagnostic(`healed to a new connection: ${Math.round(performance.now() - healedMs)} ms`)
    })

    it('an agent that is killed cuts what it carried at both ends, and serves again when it is back', async t => {
      const last = course.agents.at(-1)
      if (last === undefined) {
        t.skip('no agent here')
        return
      }
      const pair = await open()
      await echo(pair, 'before')
      const startedMs = performance.now()
      // Asked before, since an end that nobody waits for is not told again.
      const cut = bothAreCut(pair)
      await last.kill()
      await cut
      t.diagnostic(`killed to both ends: ${Math.round(performance.now() - startedMs)} ms`)
      const others = course.agents.length - 1
      await last.start()
      await last.sees(others)
      const again = await open()
      await echo(again, 'after')
      again.client.destroy()
    })
  })
}
