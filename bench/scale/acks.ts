// What a change with `--wait all` costs its owner, with real agents: node bench/scale/acks.ts --agents 20. Needs `ss` of iproute2.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { AgentClient } from '../../src/client/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { startAgents } from '../registry/warren-fleet.ts'
import { percentile } from '../statistics.ts'
import { withScope } from '../with-scope.ts'
import { tcpTrafficOf } from './tcp-traffic.ts'

const { values } = parseArgs({
  options: { agents: { type: 'string', default: '10' }, changes: { type: 'string', default: '7' } }
})
const WINDOW_MS = 2_000

const agents = await withScope(async scope => {
  const all = await startAgents(scope, Number(values.agents))
  const owner = all[Math.floor(all.length / 2)]
  if (owner === undefined) throw new Error('there is no agent')
  await using client = new AgentClient({ runtimeDir: owner.runtimeDir })
  // The connections of the joins, and of the last synchronisation, have ended or settled.
  await sleep(10_000)
  const before = tcpTrafficOf(owner.pid).connections
  const report = { answeredMs: [] as number[], bytes: [] as number[], localBytes: [] as number[] }
  for (let change = 0; change < Number(values.changes); change += 1) {
    for (const wait of [apiPb.Wait.ALL, apiPb.Wait.LOCAL] as const) {
      const idle = tcpTrafficOf(owner.pid)
      await sleep(WINDOW_MS)
      const begun = tcpTrafficOf(owner.pid)
      const askedMs = performance.now()
      const { token } = await client.workload.register({
        address: 'bench.scale.change.default',
        target: { kind: { case: 'tcp', value: '127.0.0.1:9' } },
        healthCheck: apiPb.HealthCheck.OFF,
        wait
      })
      const answeredMs = performance.now() - askedMs
      await sleep(Math.max(0, WINDOW_MS - answeredMs))
      const bytes = tcpTrafficOf(owner.pid).bytes - begun.bytes - (begun.bytes - idle.bytes)
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
  return { agents: all.length, before, after: tcpTrafficOf(owner.pid).connections, ...report }
})
process.stdout.write(
  `${agents.agents} agents: connections of the owner ${agents.before} before and ${agents.after} after; ` +
    `with --wait all ${Math.round(percentile(agents.bytes, 50))} bytes and ${Math.round(percentile(agents.answeredMs, 50))} ms, ` +
    `with --wait local ${Math.round(percentile(agents.localBytes, 50))} bytes (medians of ${agents.bytes.length})\n`
)
