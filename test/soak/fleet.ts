import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { AgentClient, type MeshServer } from '../../src/client/index.ts'
import { type Scope, TestAgent, waitFor } from '../harness/index.ts'
import { NAMES, type Name, Network } from './network.ts'
import { type Protocol, serveNumbers } from './numbers.ts'
import { addressOf } from './routes.ts'

const PATIENCE_MS = 120_000
const PROTOCOLS: readonly Protocol[] = ['tcp', 'udp']

/** Bounded things that an agent holds. */
export interface Sample {
  readonly residentBytes: number
  readonly descriptors: number
  readonly diskBytes: number
}

/** One host with its agent, and the servers and clients of this process that use it. */
export class Member {
  readonly name: Name
  readonly agent: TestAgent
  readonly client: AgentClient
  /** When its process began, as `performance.now()`. */
  startedMs = 0
  #isExpectedToRun = false
  #renewalsBefore = 0
  readonly #args: readonly string[]
  readonly #servers = new Map<Protocol, Pick<MeshServer, 'close'>>()

  constructor(scope: Scope, agent: TestAgent, name: Name, args: readonly string[]) {
    this.name = name
    this.agent = agent
    this.#args = args
    this.client = new AgentClient({ runtimeDir: agent.runtimeDir })
    scope.defer(() => this.client.close())
  }

  /** Whether its agent has ended though nobody killed it. */
  get hasCrashed(): boolean {
    return this.#isExpectedToRun && this.agent.program.hasEnded
  }

  async start(more: readonly string[] = []): Promise<void> {
    await this.agent.start([...more, ...this.#args])
    this.startedMs = performance.now()
    this.#isExpectedToRun = true
  }

  async kill(): Promise<void> {
    // With the process its counters end.
    this.#renewalsBefore = await this.renewals()
    this.#isExpectedToRun = false
    await this.agent.kill()
  }

  async serve(protocol: Protocol): Promise<void> {
    this.#servers.set(protocol, await serveNumbers(this.client, addressOf(this.name, protocol), protocol))
  }

  async stopServing(protocol: Protocol): Promise<void> {
    await this.#servers.get(protocol)?.close()
    this.#servers.delete(protocol)
  }

  /** The carrier of the newest flow of these two addresses, as `warren flows` shows it: one that was closed just now may still be there. */
  async carrierOf(source: string, destination: string): Promise<string | undefined> {
    const { flows } = await this.client.admin.listFlows({})
    const own = flows.filter(flow => flow.source.startsWith(source) && flow.destination.startsWith(destination))
    return own.sort((a, b) => Number(b.openedAtMs - a.openedAtMs))[0]?.carrier
  }

  /** Certificates that it has renewed, in all its lives. */
  async renewals(): Promise<number> {
    const lines = (await this.agent.cli('metrics')).split('\n')
    return lines
      .filter(line => line.startsWith('warren_renewals_total{') && line.includes('result="ok"'))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), this.#renewalsBefore)
  }

  sample(): Sample {
    const { pid, stateDir } = this.agent
    return {
      residentBytes: this.agent.residentBytes(),
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      diskBytes: sizeOf(stateDir)
    }
  }
}

/** Four agents of one trust domain on a network of their own; the one of the hub founded it. */
export class Fleet {
  readonly network: Network
  readonly members: Readonly<Record<Name, Member>>

  private constructor(network: Network, members: Readonly<Record<Name, Member>>) {
    this.network = network
    this.members = members
  }

  static async start(scope: Scope, args: readonly string[]): Promise<Fleet> {
    const network = await Network.create(scope)
    const member = (name: Name): Member => {
      const agent = new TestAgent(scope, { name, args, host: network.hosts[name] })
      return new Member(scope, agent, name, args)
    }
    const members = { hub: member('hub'), near: member('near'), far: member('far'), home: member('home') }
    await members.hub.start(['--init', 'example.org'])
    await members.hub.agent.cli('allow', 'soak.*.*.*', 'soak.*.*.*')
    for (const name of NAMES.slice(1)) {
      const token = (await members.hub.agent.cli('token', 'create', name)).trim()
      await members[name].start(['--join', token])
    }
    const fleet = new Fleet(network, members)
    for (const one of fleet.all) for (const protocol of PROTOCOLS) await one.serve(protocol)
    return fleet
  }

  get all(): readonly Member[] {
    return Object.values(this.members)
  }

  get crashed(): Member | undefined {
    return this.all.find(member => member.hasCrashed)
  }

  /** Changes the policy; the effect is there on the hub only when this resolves. */
  async rule(effect: 'allow' | 'deny', source: string, destination: string): Promise<void> {
    await this.members.hub.client.admin.addRule({ rule: { effect, source, destination } })
  }

  /** Waits until `probe` holds. Rejects when an agent has crashed, or after two minutes with what `describe` returns. */
  async until(probe: () => boolean | Promise<boolean>, describe: () => string): Promise<void> {
    const over = Symbol()
    const met = await waitFor(async () => (this.crashed !== undefined ? over : await probe()), 'it', PATIENCE_MS).catch(
      () => undefined
    )
    const { crashed } = this
    if (crashed !== undefined) {
      throw new Error(`the agent of ${crashed.name} ended\n${crashed.agent.program.stderr.slice(-2_000)}`)
    }
    if (met === undefined) throw new Error(`after ${PATIENCE_MS / 1_000} s: ${describe()}`)
  }
}

function sizeOf(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .reduce((sum, { parentPath, name }) => {
      // A file may have been replaced meanwhile.
      return sum + (statSync(join(parentPath, name), { throwIfNoEntry: false })?.size ?? 0)
    }, 0)
}
