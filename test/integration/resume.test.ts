import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { asRoot, createHosts, type Host, Program, type Scope, scopeOf, startPair, waitFor } from '../harness/index.ts'

const SITE = 'dev.web.site.default'
const ECHO = join(import.meta.dirname, 'support', 'echo.mjs')
/** Bytes in all, in one write, and milliseconds after each: 100 MB in 16 s and more, and 64 bytes at a time. */
const BULK = [100 * 2 ** 20, 64 * 1024, 10]
const SMALL = [64 * 300, 64, 50]
const LINK_DOWN_MS = 5_000

async function two(scope: Scope, window = '30s') {
  const hosts = await createHosts(scope, 'a', 'b')
  const [a, b] = await startPair(scope, { hosts, args: ['--no-mdns', '--resume-window', window] })
  await a.allow('dev.*.*.*', 'dev.*.*.*')
  await b.follows(a)
  const run = (host: Host, ...args: readonly string[]): Program =>
    new Program(scope, host.enter([process.execPath, ECHO, ...args]))
  await run(hosts[0], 'server', '9000').says(/listens/)
  await a.spawn(['expose', SITE, '--tcp', '127.0.0.1:9000']).says(/^dev\./m)
  await b.knows(SITE)
  await b.spawn(['forward', SITE, '--listen', '127.0.0.1:9001']).says(/127\.0\.0\.1:9001/, 'stderr')
  const bulk = run(hosts[1], 'client', '9001', ...BULK.map(String))
  const small = run(hosts[1], 'client', '9001', ...SMALL.map(String))
  return { hosts, a, b, bulk, small }
}

test('flows through forward and expose stay whole over a dead link and a data port that is closed', asRoot, async t => {
  const scope = scopeOf(t)
  const { hosts, a, b, bulk, small } = await two(scope)
  const [left, right] = hosts
  await Promise.all([bulk.says(/part 1/), small.says(/part 1/)])
  left.cut(right)
  await pause(LINK_DOWN_MS)
  left.heal()
  await Promise.all([bulk.says(/part 2/), small.says(/part 2/)])
  // What is open breaks, and nothing new reaches the data port: only the mesh is left.
  left.block(7461)
  await Promise.all([bulk.says(/intact/), small.says(/intact/)])
  assert.match(await b.cli('metrics'), /^warren_flow_interruptions_total\{result="resumed"\} [1-9]/m)
  await waitFor(async () => !(await a.cli('flows')).includes(SITE), 'the flows to end')
})

test('a flow is reset once the link has been down for the whole window, and not before', asRoot, async t => {
  const scope = scopeOf(t)
  const { hosts, b, bulk, small } = await two(scope, '8s')
  const [left, right] = hosts
  await Promise.all([bulk.says(/part 1/), small.says(/part 1/)])
  left.cut(right)
  await waitFor(async () => /waiting/.test(await b.cli('flows')), 'the flows to wait')
  await Promise.all([bulk.says(/cut: ECONNRESET/), small.says(/cut: ECONNRESET/)])
  assert.match(b.program.stderr, /the link to the other agent was lost, and not found again in 8 s/)
})
