import { chownSync } from 'node:fs'
import type { TestContext } from 'node:test'
import {
  at,
  createHosts,
  type Host,
  isInstalled,
  needsRoot,
  type Outcome,
  Program,
  type Scope,
  scopeOf,
  startPair,
  TestAgent
} from '../../harness/index.ts'

/** What the tests of this folder look for programs in: servers are not in everybody's path. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`

const ASKED = process.env['TEST_PROGRAMS']
/** Sizes of the documented run instead of small ones: see docs/programs.md. */
export const IS_FULL = ASKED === 'full'

/** Whether root runs the tests and every command is installed; otherwise skips `t` and says what is missing. */
export function needsPrograms(t: TestContext, ...commands: readonly string[]): boolean {
  if (!needsRoot(t)) return false
  const missing = commands.filter(command => !isInstalled(command))
  if (missing.length === 0) return true
  t.skip(`needs ${missing.join(', ')}: npm run test:programs installs it`)
  return false
}

/** As `needsPrograms`, for a test that runs only if it is asked for: it takes long, or its programs do to install. */
export function isAskedFor(t: TestContext, ...commands: readonly string[]): boolean {
  if (ASKED !== undefined) return needsPrograms(t, ...commands)
  t.skip('npm run test:programs runs it')
  return false
}

const local = (port: number): string => `127.0.0.1:${port}`

interface ServeOptions {
  /** Where it says that it is ready. @default 'stdout' */
  readonly stream?: 'stdout' | 'stderr'
  readonly uid?: number
  readonly env?: Record<string, string>
}

export interface CarrierPath {
  readonly tcp?: number
  readonly udp?: number
  /** Further arguments of expose. */
  readonly expose?: readonly string[]
}

/** A server's host and a client's host, each with an agent: what runs on one can reach nothing of the other but by warren. */
export class Stage {
  readonly scope: Scope
  readonly server: Host
  readonly client: Host
  readonly serverAgent: TestAgent
  readonly clientAgent: TestAgent

  private constructor(scope: Scope, hosts: readonly [Host, Host], agents: readonly [TestAgent, TestAgent]) {
    this.scope = scope
    this.server = hosts[0]
    this.client = hosts[1]
    this.serverAgent = agents[0]
    this.clientAgent = agents[1]
  }

  static async open(t: TestContext, args: readonly string[] = []): Promise<Stage> {
    const scope = scopeOf(t)
    return await Stage.#on(scope, await createHosts(scope, 'server', 'client'), args)
  }

  /** The same beside two further members, on hosts of their own, through which the two can reach each other. */
  static async openBesideTwo(
    t: TestContext,
    args: readonly string[]
  ): Promise<{ readonly stage: Stage; readonly others: readonly TestAgent[] }> {
    const scope = scopeOf(t)
    const [server, client, ...further] = await createHosts(scope, 'server', 'client', 'c', 'd')
    const stage = await Stage.#on(scope, [server, client], args)
    const others: TestAgent[] = []
    for (const host of further) {
      const agent = new TestAgent(scope, { name: host.name, args: ['--no-mdns'], host })
      const token = (await stage.serverAgent.cli('token', 'create', host.name)).trim()
      others.push(await agent.start(['--no-mdns', '--join', token]))
    }
    await Promise.all([stage.serverAgent, stage.clientAgent, ...others].map(agent => agent.sees(3)))
    return { stage, others }
  }

  static async #on(scope: Scope, hosts: readonly [Host, Host], args: readonly string[]): Promise<Stage> {
    return new Stage(scope, hosts, await startPair(scope, { hosts, args: ['--no-mdns', ...args] }))
  }

  /** Starts a program on a host. */
  run(host: Host, argv: readonly string[], uid?: number, env: Record<string, string> = {}): Program {
    const place = { host, ...(uid !== undefined && { uid }) }
    return new Program(this.scope, at(place, argv), { env: { PATH, LC_ALL: 'C.UTF-8', ...env } })
  }

  /** Starts a server on its host, and waits until it says so. It is ended as a service manager would, with its children. */
  async serve(
    argv: readonly string[],
    ready: RegExp,
    { stream = 'stdout', uid, env }: ServeOptions = {}
  ): Promise<void> {
    const program = this.run(this.server, argv, uid, env)
    this.scope.defer(() => program.stop())
    await program.says(ready, stream)
  }

  /** Runs a program on the client's host, which must succeed. */
  async onClient(argv: readonly string[], env: Record<string, string> = {}, timeoutMs = 120_000): Promise<Outcome> {
    const program = this.run(this.client, argv, undefined, env)
    program.stdin.end()
    const outcome = await program.outcome(timeoutMs)
    if (outcome.code !== 0) throw new Error(`${argv.join(' ')} ended with ${outcome.code}\n${said(outcome)}`)
    return outcome
  }

  /** Runs a program on the server's host, which must succeed. */
  async onServer(argv: readonly string[], uid?: number): Promise<Outcome> {
    const program = this.run(this.server, argv, uid)
    program.stdin.end()
    const outcome = await program.outcome(120_000)
    if (outcome.code !== 0) throw new Error(`${argv.join(' ')} ended with ${outcome.code}\n${said(outcome)}`)
    return outcome
  }

  /** A directory that a user may write to. */
  directoryOf(uid: number): string {
    const path = this.scope.directory()
    chownSync(path, uid, uid)
    return path
  }

  /** Exposes what listens on the server's loopback ports, and lets `as` connect from the client's host. */
  async expose(address: string, { tcp, udp, expose = [] }: CarrierPath, as: string): Promise<void> {
    const targets = [
      ...(tcp === undefined ? [] : ['--tcp', local(tcp)]),
      ...(udp === undefined ? [] : ['--udp', local(udp)])
    ]
    const exposing = this.serverAgent.spawn(['expose', address, ...targets, ...expose])
    await exposing.says(new RegExp(`(?:^${address.replaceAll('.', '\\.')}.*\\n){${targets.length / 2}}`, 'm'))
    await this.serverAgent.cli('allow', as, address)
    await this.clientAgent.knows(address)
    await this.clientAgent.follows(this.serverAgent)
  }

  /** Makes what listens on the server's loopback ports reachable at the same ports of the client's loopback. */
  async forward(address: string, path: CarrierPath): Promise<void> {
    const as = 'dev.ops.user.default'
    await this.expose(address, path, as)
    const { tcp, udp } = path
    const listening = (port: number, args: readonly string[]) =>
      this.clientAgent
        .spawn(['forward', address, '--as', as, '--listen', local(port), ...args])
        .says(/^127.0.0.1:\d+$/m)
    await Promise.all([
      ...(tcp === undefined ? [] : [listening(tcp, [])]),
      ...(udp === undefined ? [] : [listening(udp, ['--udp'])])
    ])
  }
}

function said({ stdout, stderr }: Outcome): string {
  return `${stdout}${stderr}`.slice(-4_000)
}
