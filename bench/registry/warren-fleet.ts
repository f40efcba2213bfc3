import { AgentClient } from '../../src/client/index.ts'
import { FULL_MESH_MEMBERS } from '../../src/mesh/limits.ts'
import { apiPb } from '../../src/wire/index.ts'
import { type Scope, settled, TestAgent, waitFor } from '../../test/harness/index.ts'
import type { Change, Fleet, FleetKind } from './fleet.ts'
import { Sightings } from './sightings.ts'

const PATTERN = 'bench.registry.*.*'
const PATIENCE_MS = 300_000

/** Agents of one trust domain. A change is a registration; it is seen when `WatchServices` says so. */
export const warrenFleet: FleetKind = {
  name: 'warren',
  ours: true,
  missing: () => undefined,
  start: async (scope, members) => {
    const agents = await startAgents(scope, members)
    return { pids: agents.map(({ pid }) => pid), ...watchAgents(scope, agents) }
  }
}

/** Watches all agents from now on. */
export function watchAgents(scope: Scope, agents: readonly TestAgent[]): Pick<Fleet, 'changes' | 'unwatch'> {
  const clients = agents.map(agent => new AgentClient({ runtimeDir: agent.runtimeDir }))
  scope.defer(() => Promise.all(clients.map(client => client.close())))
  const watching = new AbortController()
  const sightings = new Sightings(agents.length)
  const ended = clients.map((client, at) => watch(client, watching.signal, ids => sightings.see(at, ids)))
  return {
    changes: [registration(clients, sightings)],
    unwatch: async () => {
      watching.abort()
      await Promise.all(ended)
    }
  }
}

/** Real agents that know each other, on the loopback interface. The first is the authority. */
export async function startAgents(
  scope: Scope,
  members: number,
  options: readonly string[] = ['--log-level', 'warn']
): Promise<TestAgent[]> {
  const args = [...options]
  const first = await new TestAgent(scope, { name: 'm0', args }).start(['--init', 'example.org', ...args])
  await using authority = new AgentClient({ runtimeDir: first.runtimeDir })
  const others = Array.from({ length: members - 1 }, (_, at) => new TestAgent(scope, { name: `m${at + 1}`, args }))
  // One after another: more at once only wait for each other on a machine of few cores, until a join takes too long.
  for (const agent of others) {
    const { token } = await authority.admin.createToken({ machine: agent.name })
    await agent.start(['--join', token, ...args])
  }
  const all = [first, ...others]
  // Of a full mesh, all are connected to all.
  const wanted = members <= FULL_MESH_MEMBERS ? members - 1 : 1
  for (const agent of all) {
    const knowsAll = async (): Promise<boolean> => {
      const { members: known = 0, connected = 0 } = await agent.status()
      return known >= members && connected >= wanted
    }
    await waitFor(knowsAll, `${agent.name} to know ${members} members`, PATIENCE_MS)
  }
  return all
}

async function watch(client: AgentClient, signal: AbortSignal, see: (ids: ReadonlySet<string>) => void) {
  try {
    for await (const { services } of client.workload.watchServices({ pattern: PATTERN }, { signal })) {
      see(new Set(services.map(({ labels }) => labels['round'] ?? '')))
    }
  } catch (err) {
    if (!signal.aborted) throw err
  }
}

function registration(clients: readonly AgentClient[], sightings: Sightings): Change {
  return {
    name: 'registration',
    make: async (member, round) => {
      const client = clients[member]
      if (client === undefined) throw new Error(`there is no member ${member}`)
      const id = String(round)
      const seen = sightings.everywhere(ids => ids.has(id))
      const askedMs = performance.now()
      const registered = await client.workload.register({
        address: 'bench.registry.change.default',
        labels: { round: id },
        target: { kind: { case: 'tcp', value: '127.0.0.1:9' } },
        healthCheck: apiPb.HealthCheck.OFF,
        wait: apiPb.Wait.ALL
      })
      const answeredMs = performance.now() - askedMs
      const everywhereMs = (await settled(seen, `registration ${round} to be everywhere`)) - askedMs
      const gone = sightings.everywhere(ids => !ids.has(id))
      await client.workload.deregister({ token: registered.token, wait: apiPb.Wait.LOCAL })
      await settled(gone, `the end of registration ${round} to be everywhere`)
      return { everywhereMs, answeredMs }
    }
  }
}
