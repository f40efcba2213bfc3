import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { AgentClient, register } from '../../src/client/index.ts'
import { type Scope, type TestAgent, waitFor } from '../../test/harness/index.ts'
import { HostileMember } from '../../test/integration/support/hostile-member.ts'
import { startAgents } from '../registry/warren-fleet.ts'

const AGENTS = 20
const RECORDS = 10_000
const REFRESH_MS = 4_000
const EVERY_MS = 1_000
const PATIENCE_MS = 300_000

/**
 * Twenty members, of which the first two are returned: one holds 10,000 registrations, another one registers and deregisters each
 * second, and each second somebody reads the metrics of the first two. All of it goes on as long as the scope.
 */
export async function startCrowd(scope: Scope): Promise<readonly [TestAgent, TestAgent]> {
  const agents = await startAgents(scope, AGENTS, ['--metrics-listen', '127.0.0.1:0'])
  const [near, far] = agents
  const last = agents.at(-1)
  const changing = agents.at(-2)
  if (near === undefined || far === undefined || last === undefined || changing === undefined)
    throw new Error('there are too few agents')
  const ending = new AbortController()
  await holdRecords(scope, last, agents.slice(0, -1))
  const client = new AgentClient({ runtimeDir: changing.runtimeDir })
  const work = [each(ending.signal, () => change(client))]
  for (const agent of [near, far]) {
    const [, port = ''] = await agent.program.says(/"address":"127\.0\.0\.1:(\d+)","msg":"metrics served"/, 'stderr')
    const connection = new Agent({ keepAlive: true, maxSockets: 1 })
    scope.defer(() => connection.destroy())
    work.push(each(ending.signal, () => scrape(port, connection)))
  }
  scope.defer(async () => {
    ending.abort()
    await Promise.all(work)
    await client.close()
  })
  for (const agent of [near, far]) {
    const holdsAll = async (): Promise<boolean> => ((await agent.status()).services ?? 0) >= RECORDS
    await waitFor(holdsAll, `${agent.name} to hold ${RECORDS} registrations`, PATIENCE_MS)
  }
  return [near, far]
}

/** A member without the local API of an agent, where a user may have 1,024 registrations. */
async function holdRecords(scope: Scope, place: TestAgent, others: readonly TestAgent[]): Promise<void> {
  await place.kill()
  const member = await HostileMember.inPlaceOf(place, others)
  scope.defer(() => member.stop())
  const say = async (messages: readonly Uint8Array[]): Promise<void> => {
    for (const bytes of messages) await member.shout(bytes)
  }
  const timer = setInterval(() => void say(member.step({ type: 'refresh' })), REFRESH_MS)
  scope.defer(() => clearInterval(timer))
  await waitFor(() => member.mesh.connected().length > 0, 'the member to be connected')
  const puts = Array.from({ length: RECORDS }, (_, at) => member.record(`service-${at}`))
  await say(member.step({ type: 'local-change', puts, deletes: [] }))
}

async function each(signal: AbortSignal, work: () => Promise<unknown>): Promise<void> {
  try {
    while (!signal.aborted) {
      await work()
      await pause(EVERY_MS, undefined, { signal })
    }
  } catch (err) {
    if (!signal.aborted) throw err
  }
}

async function change(client: AgentClient): Promise<void> {
  const registration = await register('bench.tails.change.default', { client, target: { tcp: '127.0.0.1:9' } })
  await registration.close()
}

async function scrape(port: string, agent: Agent): Promise<void> {
  const asked = request({ host: '127.0.0.1', port, path: '/metrics', agent }).end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
}
