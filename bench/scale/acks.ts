// What a change with `--wait all` costs its owner, with real agents: node bench/scale/acks.ts --agents 20. Needs `ss` of iproute2.
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { AgentClient } from '../../src/client/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { startAgents } from '../registry/warren-fleet.ts'
import { withScope } from '../with-scope.ts'

const { values } = parseArgs({
  options: { agents: { type: 'string', default: '10' }, changes: { type: 'string', default: '7' } }
})
const WINDOW_MS = 2_000

interface Traffic {
  readonly connections: number
  readonly bytes: number
}

/** Of the TCP connections of a process, since each began. */
function trafficOf(pid: number): Traffic {
  const lines = execFileSync('ss', ['-tniHOp', 'state', 'established'], { encoding: 'utf8', maxBuffer: 1 << 26 }).split(
    '\n'
  )
  const own = lines.filter(line => line.includes(`pid=${pid},`))
  const sum = (name: string): number =>
    own.reduce((total, line) => total + Number(new RegExp(`\\b${name}:(\\d+)`).exec(line)?.[1] ?? 0), 0)
  return { connections: own.length, bytes: sum('bytes_sent') + sum('bytes_received') }
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
}

const agents = await withScope(async scope => {
  const all = await startAgents(scope, Number(values.agents))
  const owner = all[Math.floor(all.length / 2)]
  if (owner === undefined) throw new Error('there is no agent')
  await using client = new AgentClient({ runtimeDir: owner.runtimeDir })
  // The connections of the joins, and of the last synchronisation, have ended or settled.
  await sleep(10_000)
  const before = trafficOf(owner.pid).connections
  const report = { answeredMs: [] as number[], bytes: [] as number[], localBytes: [] as number[] }
  for (let change = 0; change < Number(values.changes); change += 1) {
    for (const wait of [apiPb.Wait.ALL, apiPb.Wait.LOCAL] as const) {
      const idle = trafficOf(owner.pid)
      await sleep(WINDOW_MS)
      const begun = trafficOf(owner.pid)
      const askedMs = performance.now()
      const { token } = await client.workload.register({
        address: 'bench.scale.change.default',
        target: { kind: { case: 'tcp', value: '127.0.0.1:9' } },
        healthCheck: apiPb.HealthCheck.OFF,
        wait
      })
      const answeredMs = performance.now() - askedMs
      await sleep(Math.max(0, WINDOW_MS - answeredMs))
      const bytes = trafficOf(owner.pid).bytes - begun.bytes - (begun.bytes - idle.bytes)
      if (wait === apiPb.Wait.ALL) {
        report.answeredMs.push(answeredMs)
        report.bytes.push(bytes)
      } else {
        report.localBytes.push(bytes)
      }
      await client.workload.deregister({ token, wait: apiPb.Wait.LOCAL })
      await sleep(500)
    }
  }
  return { agents: all.length, before, after: trafficOf(owner.pid).connections, ...report }
})
process.stdout.write(
  `${agents.agents} agents: connections of the owner ${agents.before} before and ${agents.after} after; ` +
    `with --wait all ${Math.round(median(agents.bytes))} bytes and ${Math.round(median(agents.answeredMs))} ms, ` +
    `with --wait local ${Math.round(median(agents.localBytes))} bytes (medians of ${agents.bytes.length})\n`
)
