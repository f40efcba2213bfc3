import { type Host, localCall, type Scope, TestAgent, waitFor } from '../../harness/index.ts'

export interface Member {
  readonly machine: string
  readonly state: string
  readonly records?: number
  /** 64-bit numbers, so strings in JSON. */
  readonly epoch?: string
  readonly seq?: string
}

export interface KnownService {
  readonly address: string
  readonly registrationId: string
  readonly machine: string
  readonly suspect?: boolean
}

/** Agents that know each other, one on each host, named m0, m1 and so on; the first is the authority. */
export async function startMesh(scope: Scope, hosts: readonly Host[]): Promise<TestAgent[]> {
  const [firstHost, ...others] = hosts
  if (firstHost === undefined) return []
  const first = await new TestAgent(scope, { name: 'm0', args: [], host: firstHost }).start([
    '--init',
    'example.org',
    '--no-mdns'
  ])
  const agents = [first]
  for (const [at, host] of others.entries()) {
    const name = `m${at + 1}`
    const token = await first.token(name)
    agents.push(await new TestAgent(scope, { name, args: [], host }).start(['--join', token, '--no-mdns']))
  }
  await waitFor(async () => {
    const views = await Promise.all(agents.map(membersOf))
    return views.every(members => members.size === hosts.length)
  }, 'all to know all')
  return agents
}

/** What the agent says of each member, by machine. */
export async function membersOf(agent: TestAgent): Promise<Map<string, Member>> {
  const { body } = await localCall(agent.adminSocket, 'AdminService/ListMembers')
  return new Map(((body as { members?: Member[] }).members ?? []).map(member => [member.machine, member]))
}

/** Every registration that the agent knows, sorted. */
export async function registrationsOn(agent: TestAgent): Promise<KnownService[]> {
  const { body } = await localCall(agent.socket, 'WorkloadService/ListServices', {})
  const { services = [] } = body as { services?: KnownService[] }
  return services.sort((x, y) => (x.registrationId < y.registrationId ? -1 : 1))
}

export interface Registered {
  readonly token: string
  readonly registrationId: string
  readonly replication?: { readonly state: string; readonly missing?: readonly string[]; readonly acked?: number }
}

/** Registers an address that stays for ten minutes, whatever becomes of the command. */
export async function register(agent: TestAgent, address: string, wait = 'local'): Promise<Registered> {
  const answer = await agent.cli(
    'register',
    address,
    '--tcp',
    '127.0.0.1:9',
    '--pid',
    String(process.pid),
    '--ttl',
    '10m',
    '--wait',
    wait
  )
  return JSON.parse(answer) as Registered
}
