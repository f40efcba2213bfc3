import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Scope, scopeOf, startPair, type TestAgent, WARREN, waitFor } from '../harness/index.ts'
import { type Kind, PatternedFlow } from './support/patterned-flow.ts'

const SITE = 'dev.web.site.default'
/** `npm run test:upgrades`: as many as the guarantee names. */
const IS_FULL = process.env['TEST_UPGRADES'] === 'full'
const FLOWS = IS_FULL ? 100 : 12
/** The full form has flows that never rest; they cost 60 seconds of processor time more. */
const PAUSE_MS = IS_FULL ? 0 : 20
const TRY_EACH_MS = 100
const KINDS: readonly Kind[] = ['idle', 'interactive', 'interactive', 'bulk']

interface Course {
  readonly a: TestAgent
  readonly b: TestAgent
  readonly opened: (count: number) => Promise<PatternedFlow[]>
}

/** a serves, b leads clients there; both resume flows. Of each test its own: one that fails may leave a process half replaced. */
async function start(scope: Scope): Promise<Course> {
  const server = createServer({ allowHalfOpen: true }, socket => void socket.on('error', () => {}).pipe(socket))
  scope.defer(() => void server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const echo = server.address() as { readonly port: number }
  const [a, b] = await startPair(scope, { args: ['--resume-window', '120s', '--drain-timeout', '1s'] })
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  await a.spawn(['expose', SITE, '--tcp', `127.0.0.1:${echo.port}`]).says(/^dev\./m)
  await b.knows(SITE)
  const forward = b.spawn(['forward', SITE, '--listen', '127.0.0.1:0'])
  const [, port] = await forward.says(/127\.0\.0\.1:(\d+)/, 'stderr')
  const opened = async (count: number): Promise<PatternedFlow[]> => {
    const flows = Array.from(
      { length: count },
      (_, at) => new PatternedFlow(KINDS[at % KINDS.length] ?? 'idle', Number(port), at, PAUSE_MS)
    )
    await Promise.all(flows.map(flow => flow.begin()))
    return flows
  }
  return { a, b, opened }
}

function faultsOf(flows: readonly PatternedFlow[]): string[] {
  return flows.flatMap(({ fault }) => fault ?? [])
}

/** Each moves again, in both directions. */
async function move(flows: readonly PatternedFlow[]): Promise<void> {
  const more = (flow: PatternedFlow): number => flow.received + (flow.kind === 'bulk' ? 4 * 1024 * 1024 : 1024)
  await Promise.all(flows.map(flow => (flow.kind === 'idle' ? flow.exchange() : flow.reaches(more(flow)))))
  assert.deepEqual(faultsOf(flows), [])
}

async function replace(agent: TestAgent): Promise<number> {
  const { flows, pauseMs } = JSON.parse(await agent.cli('upgrade', '--json')) as Record<'flows' | 'pauseMs', number>
  assert.ok(pauseMs > 0)
  return flows
}

function summary(pauses: readonly number[]): string {
  const sorted = pauses.toSorted((a, b) => a - b)
  const at = (share: number): string => (sorted[Math.floor(share * (sorted.length - 1))] ?? 0).toFixed(0)
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`
}

async function areCut(flows: readonly PatternedFlow[]): Promise<void> {
  await waitFor(() => Promise.resolve(faultsOf(flows).length === flows.length), 'the flows to be cut')
  assert.deepEqual(
    flows.map(({ fault }) => /ECONNRESET/.test(fault ?? '')),
    flows.map(() => true),
    faultsOf(flows).join('; ')
  )
}

test('flows of every kind continue with every byte when the process of either agent is replaced, or of both', async t => {
  const { a, b, opened } = await start(scopeOf(t))
  const flows = await opened(FLOWS)
  const talking = flows.filter(({ kind }) => kind === 'interactive')
  const pauses = { one: [] as number[], both: [] as number[] }
  const rounds = IS_FULL ? Array.from({ length: 10 }, () => [[a], [b], [a, b]]).flat() : [[a], [b], [a, b]]
  for (const agents of rounds) {
    const pids = agents.map(agent => agent.pid)
    for (const flow of talking) flow.takeLongestPause()
    assert.deepEqual(
      await Promise.all(agents.map(replace)),
      agents.map(() => FLOWS)
    )
    assert.deepEqual(
      agents.map(agent => agent.pid),
      pids
    )
    await move(flows)
    pauses[agents.length === 1 ? 'one' : 'both'].push(...talking.map(flow => flow.takeLongestPause()))
  }
  t.diagnostic(
    `interactive flows stood still, one agent: ${summary(pauses.one)}; both at once: ${summary(pauses.both)}`
  )
  await Promise.all(flows.map(flow => flow.end()))
  assert.deepEqual(faultsOf(flows), [])
})

test('no connection is refused while a process is replaced, and a program that cannot start replaces none', async t => {
  const scope = scopeOf(t)
  const { a, opened } = await start(scope)
  const flows = await opened(4)
  const { dataAddresses, meshAddresses } = await a.status()
  const dataPort = Number(dataAddresses[0]?.split(':').at(-1))
  const meshPort = Number(/\/tcp\/(\d+)/.exec(meshAddresses[0] ?? '')?.[1])
  let isOver = false
  let tried = 0
  const trying = (async () => {
    while (!isOver) {
      const ports = [dataPort, meshPort].map(port => ({ host: '127.0.0.1', port }))
      for (const at of [...ports, { path: a.socket }, { path: a.adminSocket }]) {
        const client = connect(at)
        await once(client, 'connect')
        client.destroy()
        tried += 1
      }
      // A unix listener keeps no more than 511 for an agent that is away.
      await pause(TRY_EACH_MS)
    }
  })()
  const program = join(scope.directory(), 'program')
  const useless = join(scope.directory(), 'useless')
  const run = `exec ${process.execPath} --disable-sigusr1 --min-semi-space-size=2 --max-semi-space-size=2 ${WARREN} "$@"`
  writeFileSync(useless, '#!/bin/sh\necho "broken on purpose" >&2\nexit 3\n')
  writeFileSync(program, `#!/bin/sh\ncase "$*" in *--check*) ${run};; esac\n${run} --data-listen 192.0.2.1:9\n`)
  for (const file of [program, useless]) chmodSync(file, 0o755)

  const refused = await a.attempt(['upgrade', '--to', useless])
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /cannot take over: broken on purpose\n {2}Nothing has changed/)

  const failed = await a.attempt(['upgrade', '--to', program])
  assert.equal(failed.code, 1)
  assert.match(
    failed.stderr,
    /the new program did not start: INVALID_OPTION: the data port cannot listen at 192\.0\.2\.1:9/
  )
  assert.match(failed.stderr, /The former one, warren \S+, runs again/)
  await move(flows)

  assert.equal(await replace(a), flows.length)
  isOver = true
  await trying
  assert.ok(tried > 0)
  await move(flows)
  await Promise.all(flows.map(flow => flow.end()))
  assert.deepEqual(faultsOf(flows), [])
})

test('a flow that is no longer allowed when a process has been replaced does not continue', async t => {
  const { a, b, opened } = await start(scopeOf(t))
  const flows = await opened(4)
  const replaced = replace(b)
  await a.cli('policy', 'remove', 'r1')
  await replaced
  await areCut(flows)
})

test('no flow of a host that is evicted while its process is replaced continues', async t => {
  const { a, b, opened } = await start(scopeOf(t))
  const resumed = async (): Promise<string> =>
    /^warren_flow_interruptions_total\{result="resumed"\} (\d+)/m.exec(await a.cli('metrics'))?.[1] ?? '0'
  const flows = await opened(4)
  const replaced = b.attempt(['upgrade'])
  await waitFor(async () => (await a.cli('flows')).match(/waiting/g)?.length === flows.length, 'the flows to wait')
  await a.cli('evict', 'b')
  await waitFor(async () => !(await a.cli('flows')).includes(SITE), 'the flows to be cut')
  // Nobody says so to b: its side waits for the rest of its window, and nobody answers it.
  assert.equal((await replaced).code, 0)
  const arrived = flows.map(({ received }) => received)
  await b.kill()
  await areCut(flows)
  assert.deepEqual(
    flows.map(({ received }) => received),
    arrived
  )
  assert.equal(await resumed(), '0')
})
