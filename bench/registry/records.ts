import { setTimeout as pause } from 'node:timers/promises'
import { type Scope, TestAgent, waitFor } from '../../test/harness/index.ts'
import { HostileMember } from '../../test/integration/support/hostile-member.ts'
import type { Better } from '../statistics.ts'
import { residentBytes } from '../usage.ts'
import { startAgents } from './warren-fleet.ts'

const REFRESH_MS = 4_000
/** Time to collect the garbage of taking them over. */
const REST_MS = 15_000
const PATIENCE_MS = 300_000

interface Row {
  readonly key: string
  readonly name: string
  readonly unit: string
  readonly better: Better
}

/** The measures of a registry of so many records. */
export const RECORD_MEASURES = (count: number): readonly Row[] => {
  const row = (key: string, name: string, unit: string): Row => ({
    key: `${count} ${key}`,
    name: `${count.toLocaleString('en')} records: ${name}`,
    unit,
    better: 'less'
  })
  return [
    row('taken', 'an agent that runs takes them over', 's'),
    row('memory', 'memory of that agent for each', 'bytes'),
    row('fresh', 'start of a fresh agent until it has joined and holds them all', 's')
  ]
}

/**
 * Three hosts: an agent, a member with very many records, and an agent that is started when all is there. The member is
 * the mesh and the registry of an agent without its local API, where a user may have 1,024 registrations.
 */
export async function recordFigures(scope: Scope, count: number): Promise<Readonly<Record<string, number>>> {
  const [agent, place] = (await startAgents(scope, 2)) as [TestAgent, TestAgent]
  await place.kill()
  const member = await HostileMember.inPlaceOf(place, [agent])
  scope.defer(() => member.stop())
  const timer = setInterval(() => {
    for (const bytes of member.step({ type: 'refresh' })) void member.shout(bytes)
  }, REFRESH_MS)
  scope.defer(() => clearInterval(timer))
  await waitFor(() => member.mesh.connected().length > 0, 'the member to be connected')
  await pause(REST_MS)
  const before = residentBytes(agent.pid)
  const puts = Array.from({ length: count }, (_, at) => member.record(`service-${at}`))
  const messages = member.step({ type: 'local-change', puts, deletes: [] })
  const saidMs = performance.now()
  for (const bytes of messages) await member.shout(bytes)
  await holds(agent, count)
  const takenMs = performance.now() - saidMs
  await pause(REST_MS)
  const after = residentBytes(agent.pid)
  const token = (await agent.cli('token', 'create', 'fresh')).trim()
  const startedMs = performance.now()
  const fresh = await new TestAgent(scope, { name: 'fresh', args: [] }).start(['--join', token, '--log-level', 'warn'])
  await holds(fresh, count)
  return {
    [`${count} taken`]: takenMs / 1_000,
    [`${count} memory`]: (after - before) / count,
    [`${count} fresh`]: (performance.now() - startedMs) / 1_000
  }
}

async function holds(agent: TestAgent, count: number): Promise<void> {
  const all = async (): Promise<boolean> => ((await agent.status()).services ?? 0) >= count
  await waitFor(all, `${agent.name} to hold ${count} records`, PATIENCE_MS)
}
