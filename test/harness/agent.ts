import { chownSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { programsForOthers } from './for-others.ts'
import type { Host } from './host.ts'
import { localCall } from './local-call.ts'
import { type Outcome, Program } from './program.ts'
import type { Scope } from './scope.ts'
import { waitFor } from './wait-for.ts'

export const WARREN = join(import.meta.dirname, '..', '..', 'bin', 'warren.js')

/** Where and as whom a command runs. */
export interface Place {
  /** @default this machine */
  readonly host?: Host
  /** Numeric user. @default the one that runs the tests */
  readonly uid?: number
  /** Names without CAP_: it has these capabilities, and can get no others. @default those that its user has */
  readonly capabilities?: readonly string[]
}

export interface AgentOptions extends Place {
  readonly name: string
  /** What follows `warren up`. On this machine, free loopback ports are chosen unless it says otherwise. */
  readonly args: readonly string[]
}

/** The command line that runs `argv` at a place; for another user, warren and the Node of the tests are copies that it can reach. */
export function at(place: Place, argv: readonly string[]): string[] {
  const { host, uid, capabilities } = place
  const ids = uid === undefined ? [] : [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
  const only = capabilities === undefined ? [] : limitedTo(capabilities)
  const as = ids.length + only.length === 0 ? [] : ['setpriv', ...ids, ...only, '--']
  const full = [...as, ...(uid === undefined ? argv : reachable(argv))]
  return host === undefined ? full : host.enter(full)
}

function reachable(argv: readonly string[]): string[] {
  if (!argv.includes(WARREN) && !argv.includes(process.execPath)) return [...argv]
  const programs = programsForOthers()
  const copies = new Map([
    [WARREN, programs.warren],
    [process.execPath, programs.node]
  ])
  return argv.map(word => copies.get(word) ?? word)
}

function limitedTo(capabilities: readonly string[]): string[] {
  const list = ['-all', ...capabilities.map(name => `+${name}`)].join()
  return ['--no-new-privs', ...['bounding-set', 'inh-caps', 'ambient-caps'].map(set => `--${set}=${list}`)]
}

/** What bin/warren.js puts before itself when it is run as a command; `node bin/warren.js` takes 40 ms longer to the same end. */
function nodeOptions(args: readonly string[]): string[] {
  return ['--disable-sigusr1', ...(args.includes('up') ? ['--min-semi-space-size=2', '--max-semi-space-size=2'] : [])]
}

/** A command line of warren, run by the Node that runs the tests. */
export function warren(
  scope: Scope,
  args: readonly string[],
  place: Place = {},
  runtimeDir?: string,
  build = WARREN
): Program {
  const env = { WARREN_RUNTIME_DIR: runtimeDir, XDG_RUNTIME_DIR: undefined, XDG_STATE_HOME: undefined }
  // Another build says itself how Node starts.
  const options = build === WARREN ? nodeOptions(args) : []
  return new Program(scope, at(place, [process.execPath, ...options, build, ...args]), { env })
}

export interface Status {
  readonly version?: string
  readonly state: string
  readonly machine: string
  readonly peerId: string
  readonly members?: number
  readonly connected?: number
  readonly services?: number
  readonly registrations?: number
  readonly flows?: number
  /** A 64-bit number, so a string in JSON; absent before the first rule. */
  readonly policyVersion?: string
  readonly meshAddresses: readonly string[]
  readonly dataAddresses: readonly string[]
}

/**
 * A real agent process with directories of its own.
 *
 * It survives `kill` and `stop` as a host would: `start` runs it again on the same state.
 */
export class TestAgent {
  readonly name: string
  readonly stateDir: string
  readonly runtimeDir: string
  readonly #scope: Scope
  readonly #options: AgentOptions
  #program: Program | undefined

  constructor(scope: Scope, options: AgentOptions) {
    this.#scope = scope
    this.#options = options
    this.name = options.name
    const base = scope.directory()
    this.stateDir = join(base, 's')
    this.runtimeDir = join(base, 'r')
    if (options.uid !== undefined) chownSync(base, options.uid, options.uid)
  }

  get program(): Program {
    if (this.#program === undefined) throw new Error(`${this.name} was never started`)
    return this.#program
  }

  get pid(): number {
    return this.program.pid
  }

  get socket(): string {
    return join(this.runtimeDir, 'agent.sock')
  }

  get adminSocket(): string {
    return join(this.runtimeDir, 'admin.sock')
  }

  /**
   * Starts it and waits until it is ready. `args` stand in for those of its options; `build` is the program, if not that of this
   * checkout.
   */
  async start(args: readonly string[] = this.#options.args, build = WARREN): Promise<this> {
    // What is open at the end of a test must not make it wait.
    const own = [
      'up',
      '--drain-timeout',
      '0s',
      '--name',
      this.name,
      '--state-dir',
      this.stateDir,
      '--runtime-dir',
      this.runtimeDir
    ]
    const loopback = [
      '--listen',
      '127.0.0.1:0',
      '--data-listen',
      '127.0.0.1:0',
      '--advertise',
      '127.0.0.1',
      '--no-mdns'
    ]
    const here = this.#options.host === undefined ? loopback : []
    this.#program = warren(this.#scope, [...own, ...here, ...args], this.#options, undefined, build)
    await this.ready()
    return this
  }

  async ready(): Promise<void> {
    const { program } = this
    await waitFor(async () => {
      if (program.hasEnded) return 'ended'
      return existsSync(this.socket) && ['ready', 'evicted'].includes((await this.status()).state)
    }, `${this.name} to be ready`).catch((err: unknown) => {
      throw new Error(`${this.name} is not ready\n${program.stderr}`, { cause: err })
    })
    if (program.hasEnded) throw new Error(`${this.name} ended\n${program.stderr}`)
  }

  async status(): Promise<Status> {
    const { status, body } = await localCall(this.socket, 'WorkloadService/GetStatus')
    if (status !== 200) throw new Error(`GetStatus answered ${status} ${JSON.stringify(body)}`)
    return body as Status
  }

  /** A warren command against this agent, left running. */
  spawn(args: readonly string[], place: Place = this.#options): Program {
    return warren(this.#scope, args, place, this.runtimeDir)
  }

  /** A warren command against this agent, run to its end, whatever that is. */
  async attempt(args: readonly string[], place: Place = this.#options): Promise<Outcome> {
    const program = this.spawn(args, place)
    program.stdin.end()
    return await program.outcome()
  }

  /** A warren command against this agent that must succeed. Returns its standard output. */
  async cli(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.attempt(args)
    if (code !== 0) throw new Error(`warren ${args.join(' ')} ended with ${code}\n${stdout}${stderr}`)
    return stdout
  }

  /**
   * A token for one host, as `warren token create` prints it. By the API: what a test only needs to begin with is not worth the
   * start of a command.
   */
  async token(machine: string): Promise<string> {
    if (this.#isCommandedByItsUser) return (await this.cli('token', 'create', machine)).trim()
    return ((await this.#admin('CreateToken', { machine })) as { token: string }).token
  }

  /** Adds the rule of `warren allow`, by the API. */
  async allow(source: string, destination: string): Promise<void> {
    if (this.#isCommandedByItsUser) await this.cli('allow', source, destination)
    else await this.#admin('AddRule', { rule: { effect: 'allow', source, destination } })
  }

  /** An agent of another user may not be able to tell who the test is. */
  get #isCommandedByItsUser(): boolean {
    return this.#options.uid !== undefined || this.#options.capabilities !== undefined
  }

  async #admin(method: string, body: object): Promise<unknown> {
    const reply = await localCall(this.adminSocket, `AdminService/${method}`, body)
    if (reply.status !== 200) throw new Error(`${method} answered ${reply.status} ${JSON.stringify(reply.body)}`)
    return reply.body
  }

  /** Resident memory, in bytes. */
  residentBytes(): number {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1]
    return Number(kib) * 1024
  }

  /** The socket files in its runtime directory, but its own two. */
  endpointFiles(): string[] {
    if (!existsSync(this.runtimeDir)) return []
    const own = new Set(['agent.sock', 'admin.sock', 'spiffe.sock'])
    return readdirSync(this.runtimeDir, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isSocket() && !own.has(entry.name))
      .map(entry => join(entry.parentPath, entry.name))
  }

  /** Waits until it is connected to `count` other members. */
  async sees(count: number): Promise<void> {
    await waitFor(async () => ((await this.status()).connected ?? 0) >= count, `${this.name} to see ${count} members`)
  }

  /** Waits until a workload of this address is known here. */
  async knows(address: string): Promise<void> {
    await waitFor(async () => {
      const { body } = await localCall(this.socket, 'WorkloadService/ListServices', { pattern: address })
      return ((body as { services?: unknown[] }).services ?? []).length > 0
    }, `${this.name} to know ${address}`)
  }

  /** Waits until the policy of `other` is in force here. */
  async follows(other: TestAgent): Promise<void> {
    const wanted = BigInt((await other.status()).policyVersion ?? 0)
    await waitFor(
      async () => BigInt((await this.status()).policyVersion ?? 0) >= wanted,
      `policy ${wanted} to reach ${this.name}`
    )
  }

  async stop(): Promise<Outcome> {
    return await this.program.stop()
  }

  async kill(): Promise<void> {
    await this.program.kill()
  }
}

/** Two agents of one trust domain that see each other: `a` founded it, `b` joined by token. */
export async function startPair(
  scope: Scope,
  options: {
    readonly args?: readonly string[]
    readonly hosts?: readonly [Host, Host]
    readonly uid?: number
    readonly build?: string
  } = {}
): Promise<readonly [TestAgent, TestAgent]> {
  const { args = [], hosts, uid, build } = options
  const place = (index: 0 | 1): Place => ({
    ...(hosts !== undefined && { host: hosts[index] }),
    ...(uid !== undefined && { uid })
  })
  const a = new TestAgent(scope, { name: 'a', args, ...place(0) })
  await a.start(['--init', 'example.org', ...args], build)
  const b = new TestAgent(scope, { name: 'b', args, ...place(1) })
  await b.start(['--join', await a.token('b'), ...args], build)
  await Promise.all([a.sees(1), b.sees(1)])
  return [a, b]
}
