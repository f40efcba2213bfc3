import { setTimeout as pause } from 'node:timers/promises'
import { AgentClient } from '../../src/client/index.ts'
import { DEFAULT_LEASES, leaseFor } from '../../src/registry/index.ts'
import { apiPb } from '../../src/wire/index.ts'
import { type Scope, settled, type TestAgent } from '../../test/harness/index.ts'
import { loopbackBytes } from '../registry/own-loopback.ts'
import { Sightings } from '../registry/sightings.ts'
import { startAgents } from '../registry/warren-fleet.ts'
import { percentile } from '../statistics.ts'
import { cpuMs, residentBytes } from '../usage.ts'
import { tcpTrafficOf } from './tcp-traffic.ts'

/** What a mesh of real agents does, in the units of the model; and what the model does not know. */
export interface RealRow {
  readonly connections: { readonly mean: number; readonly max: number }
  /** Medians of some changes. */
  readonly changeMs: number
  readonly waitAll: { readonly ms: number; readonly bytes: number }
  readonly crashMs: number
  readonly idleBytesPerSecond: number
  readonly idleCpuMsPerSecond: number
  readonly changeCpuMs: number
  readonly residentBytes: number
}

const CHANGES = 9
const ADDRESS = 'bench.scale.change.default'
const VICTIM = 'bench.scale.victim.default'
/** The connections and synchronisations of the joins have ended then. */
const SETTLE_MS = 30_000
const BETWEEN_MS = 1_500
/** At rest a fleet is looked at for two renewals, or this long. */
const LEAST_IDLE_MS = 60_000

/** Measures `members` agents on the loopback interface of this network namespace, which must have no other traffic. */
export async function measureReal(scope: Scope, members: number, say: (line: string) => void): Promise<RealRow> {
  say(`${members} agents: starting`)
  const agents = await startAgents(scope, members)
  const clients = agents.map(({ runtimeDir }) => new AgentClient({ runtimeDir }))
  scope.defer(() => Promise.all(clients.map(client => client.close())))
  await pause(SETTLE_MS)
  const connected = await Promise.all(agents.map(async agent => (await agent.status()).connected ?? 0))

  const idleMs = Math.max(LEAST_IDLE_MS, 2 * leaseFor(DEFAULT_LEASES, members).refreshMs)
  say(`${members} agents: at rest for ${Math.round(idleMs / 1_000)} s`)
  const idle = await during(agents, () => pause(idleMs))

  say(`${members} agents: changes`)
  const watching = new AbortController()
  const sightings = new Sightings(members)
  const dying = new AbortController()
  const signalOf = (at: number): AbortSignal => (at === members - 1 ? dying : watching).signal
  const watched = clients.map((client, at) => watch(client, signalOf(at), labels => sightings.see(at, labels)))
  const [owner, client] = [agents[members >> 1], clients[members >> 1]]
  const [victim, victimClient] = [agents.at(-1), clients.at(-1)]
  if (!owner || !client || !victim || !victimClient) throw new Error('there is no agent')
  const rest = await during(agents, () => pause(CHANGES * BETWEEN_MS))
  const seenMs: number[] = []
  const quick = await during(agents, async () => {
    for (let round = 0; round < CHANGES; round += 1) seenMs.push(await change(client, sightings, round))
  })

  say(`${members} agents: acknowledgements`)
  const [all, local] = [await waited(owner, client, apiPb.Wait.ALL), await waited(owner, client, apiPb.Wait.LOCAL)]

  say(`${members} agents: a crash`)
  await victimClient.workload.register({ ...registration(VICTIM, 'victim'), wait: apiPb.Wait.ALL })
  await settled(
    sightings.everywhere(labels => labels.has('victim')),
    'the victim to be known to all'
  )
  const residents = agents.map(({ pid }) => residentBytes(pid))
  await pause(BETWEEN_MS)
  const hidden = sightings.everywhere(labels => !labels.has('victim'))
  dying.abort()
  const killedMs = performance.now()
  process.kill(victim.pid, 'SIGKILL')
  sightings.see(members - 1, new Set())
  const crashMs = (await settled(hidden, 'the victim to be hidden from all', 60_000)) - killedMs
  watching.abort()
  await Promise.all(watched)
  return {
    connections: { mean: connected.reduce((sum, one) => sum + one, 0) / members, max: Math.max(...connected) },
    changeMs: percentile(seenMs, 50),
    waitAll: { ms: all.ms, bytes: Math.max(0, all.bytes - local.bytes) },
    crashMs,
    // The interface counts each byte once, and a host sends it and another receives it.
    idleBytesPerSecond: (2 * idle.bytes) / members / idle.seconds,
    idleCpuMsPerSecond: idle.cpuMs / members / idle.seconds,
    changeCpuMs: Math.max(0, quick.cpuMs - (rest.cpuMs * quick.seconds) / rest.seconds) / members / CHANGES,
    residentBytes: percentile(residents, 50)
  }
}

interface Used {
  readonly seconds: number
  readonly bytes: number
  readonly cpuMs: number
}

async function during(agents: readonly TestAgent[], what: () => Promise<unknown>): Promise<Used> {
  const cpu = (): number => agents.reduce((sum, { pid }) => sum + cpuMs(pid), 0)
  const [beganMs, bytes, used] = [performance.now(), loopbackBytes(), cpu()]
  await what()
  return { seconds: (performance.now() - beganMs) / 1_000, bytes: loopbackBytes() - bytes, cpuMs: cpu() - used }
}

function registration(address: string, label: string) {
  return {
    address,
    labels: { round: label },
    target: { kind: { case: 'tcp', value: '127.0.0.1:9' } },
    healthCheck: apiPb.HealthCheck.OFF
  } as const
}

/** A registration and its end. Resolves with the time until all have seen it. */
async function change(client: AgentClient, sightings: Sightings, round: number): Promise<number> {
  const label = String(round)
  const seen = sightings.everywhere(labels => labels.has(label))
  const beganMs = performance.now()
  const { token } = await client.workload.register({ ...registration(ADDRESS, label), wait: apiPb.Wait.LOCAL })
  const tookMs = (await settled(seen, `change ${label} to be everywhere`)) - beganMs
  const gone = sightings.everywhere(labels => !labels.has(label))
  await client.workload.deregister({ token, wait: apiPb.Wait.LOCAL })
  await settled(gone, `the end of change ${label} to be everywhere`)
  await pause(BETWEEN_MS)
  return tookMs
}

/** Bytes of TCP at the owner for a change, beside those at rest, and the time until the answer: medians. */
async function waited(owner: TestAgent, client: AgentClient, wait: apiPb.Wait): Promise<{ ms: number; bytes: number }> {
  const [tookMs, bytes]: [number[], number[]] = [[], []]
  for (let round = 0; round < CHANGES; round += 1) {
    const before = tcpTrafficOf(owner.pid).bytes
    await pause(BETWEEN_MS)
    const begun = tcpTrafficOf(owner.pid).bytes
    const beganMs = performance.now()
    const { token } = await client.workload.register({ ...registration(ADDRESS, 'waited'), wait })
    tookMs.push(performance.now() - beganMs)
    await pause(Math.max(0, BETWEEN_MS - (performance.now() - beganMs)))
    bytes.push(tcpTrafficOf(owner.pid).bytes - begun - (begun - before))
    await client.workload.deregister({ token, wait: apiPb.Wait.LOCAL })
    await pause(BETWEEN_MS)
  }
  return { ms: percentile(tookMs, 50), bytes: percentile(bytes, 50) }
}

async function watch(client: AgentClient, signal: AbortSignal, see: (labels: ReadonlySet<string>) => void) {
  try {
    for await (const { services } of client.workload.watchServices({ pattern: 'bench.scale.*.*' }, { signal })) {
      // A host that does not answer is still listed, and skipped.
      see(new Set(services.filter(({ suspect }) => !suspect).map(({ labels }) => labels['round'] ?? '')))
    }
  } catch (err) {
    if (!signal.aborted) throw err
  }
}
