// Processor time of a fleet of real agents until all have joined, at rest, and the time of a registration: node bench/scale/joins.ts --agents 20 [--build CHECKOUT]. Needs root.
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { AgentClient } from '../../src/client/index.ts'
import { FULL_MESH_MEMBERS } from '../../src/mesh/limits.ts'
import { TestAgent, waitFor } from '../../test/harness/index.ts'
import { leaveForOwnLoopback, loopbackBytes } from '../registry/own-loopback.ts'
import { watchAgents } from '../registry/warren-fleet.ts'
import { percentile } from '../statistics.ts'
import { cpuMs, residentBytes } from '../usage.ts'
import { withScope } from '../with-scope.ts'

const ROOT = resolve(import.meta.dirname, '..', '..')
const PATIENCE_MS = 300_000
/** Members of a large mesh are connected to their neighbours on the rings only, some of them on more than one. */
const ENOUGH_CONNECTIONS = 6
const REST_MS = 20_000
/** Connections that the rings of a mesh of more than 64 do not want end after 30 s, some at a time. */
const LARGE_REST_MS = 90_000
const REGISTRATIONS = 20
const GAP_MS = 500

const { values } = parseArgs({
  options: { agents: { type: 'string', default: '10' }, build: { type: 'string', default: ROOT } }
})
const members = Number(values.agents)
const build = join(resolve(values.build), 'bin', 'warren.js')
const args = ['--log-level', 'warn']

leaveForOwnLoopback()
await withScope(async scope => {
  const beganMs = performance.now()
  const first = await new TestAgent(scope, { name: 'm0', args }).start(['--init', 'example.org', ...args], build)
  await using authority = new AgentClient({ runtimeDir: first.runtimeDir })
  const agents = [first]
  const startMs = [cpuMs(first.pid)]
  // Each as soon as the one before is ready, as an operator's script would: what that one costs the others overlaps with it.
  for (let at = 1; at < members; at += 1) {
    const { token } = await authority.admin.createToken({ machine: `m${at}` })
    const agent = await new TestAgent(scope, { name: `m${at}`, args }).start(['--join', token, ...args], build)
    agents.push(agent)
    if ((at + 1) % 10 === 0)
      process.stderr.write(`${at + 1} agents after ${((performance.now() - beganMs) / 1_000).toFixed(1)} s\n`)
    startMs.push(cpuMs(agent.pid))
  }
  const haveConnected = async (wanted: number): Promise<void> => {
    for (const agent of agents) {
      const hasJoined = async (): Promise<boolean> => {
        const { members: known = 0, connected = 0 } = await agent.status()
        return known >= members && connected >= wanted
      }
      await waitFor(hasJoined, `${agent.name} to know ${members} members`, PATIENCE_MS)
    }
  }
  await haveConnected(Math.min(members - 1, ENOUGH_CONNECTIONS))
  const tookMs = performance.now() - beganMs
  const used = agents.map(({ pid }) => cpuMs(pid))
  const usedMs = used.reduce((sum, one) => sum + one, 0)
  // An older half: each has seen many joins.
  const perJoin = agents
    .slice(0, Math.ceil(members / 2))
    .map((_, at) => ((used[at] ?? 0) - (startMs[at] ?? 0)) / Math.max(1, members - 1 - at))
  if (members <= FULL_MESH_MEMBERS) await haveConnected(members - 1)
  const settledMs = performance.now() - beganMs
  await pause(members <= FULL_MESH_MEMBERS ? REST_MS : LARGE_REST_MS)
  const restedMs = performance.now()
  const before = agents.map(({ pid }) => cpuMs(pid))
  const bytes = loopbackBytes()
  await pause(REST_MS)
  const seconds = (performance.now() - restedMs) / 1_000
  const restMs = agents.map(({ pid }, at) => (cpuMs(pid) - (before[at] ?? 0)) / seconds)
  const atRest = restMs.reduce((sum, one) => sum + one, 0)
  const restBytes = loopbackBytes() - bytes
  const connections = await Promise.all(agents.map(async agent => (await agent.status()).connected ?? 0))
  const { changes, unwatch } = watchAgents(scope, agents)
  const [registration] = changes
  const seenMs: number[] = []
  for (let round = 0; round < REGISTRATIONS && registration !== undefined; round += 1) {
    seenMs.push((await registration.make(Math.floor(Math.random() * members), round)).everywhereMs)
    await pause(GAP_MS * (0.5 + Math.random()))
  }
  await unwatch()
  process.stdout.write(
    `${members} agents: all joined after ${(tookMs / 1_000).toFixed(1)} s, with ${(usedMs / 1_000).toFixed(1)} s of processor time; ` +
      `start of one ${Math.round(percentile(startMs, 50))} ms, a join for each that is there ${percentile(perJoin, 50).toFixed(0)} ms, its rest included; ` +
      `at rest each ${percentile(restMs, 50).toFixed(1)} ms/s and ${(restBytes / seconds / members / 1_000).toFixed(1)} KB/s, ` +
      `${Math.round(
        percentile(
          agents.map(({ pid }) => residentBytes(pid)),
          50
        ) / 1e6
      )} MB, all ${atRest.toFixed(0)} ms/s, ${percentile(connections, 50)} connections (full or settled after ${(settledMs / 1_000).toFixed(1)} s); ` +
      `a registration with all: p50 ${percentile(seenMs, 50).toFixed(0)} ms, p99 ${percentile(seenMs, 99).toFixed(0)} ms of ${seenMs.length}\n`
  )
})
