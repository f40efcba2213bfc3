import assert from 'node:assert/strict'
import { type Outcome, type Program, type Scope, TestAgent, waitFor, warren } from '../../harness/index.ts'
import type { Build } from './baseline.ts'

type Client = InstanceType<Build['library']['AgentClient']>

export interface Member {
  readonly machine: string
  readonly state: string
  readonly version?: string
  readonly protocols?: unknown
}

/** An agent of one build, with the commands and the library of the same build. */
export class MixedHost {
  readonly agent: TestAgent
  readonly client: Client
  readonly #scope: Scope
  build: Build

  constructor(scope: Scope, name: string, build: Build) {
    this.#scope = scope
    this.build = build
    this.agent = new TestAgent(scope, { name, args: [] })
    this.client = new build.library.AgentClient({ runtimeDir: this.agent.runtimeDir })
    scope.defer(() => this.client.close())
  }

  get name(): string {
    return this.agent.name
  }

  async start(args: readonly string[]): Promise<this> {
    await this.agent.start(args, this.build.program)
    return this
  }

  async join(founder: MixedHost, args: readonly string[] = []): Promise<this> {
    return await this.start(['--join', (await founder.cli('token', 'create', this.name)).trim(), ...args])
  }

  /** Starts it again on the same state, as another build; stops it first if it runs. */
  async becomes(build: Build, args: readonly string[] = []): Promise<void> {
    await this.agent.stop()
    this.build = build
    await this.start(args)
  }

  /** A command of its build, or of another, left running. */
  spawn(args: readonly string[], build = this.build): Program {
    return warren(this.#scope, args, {}, this.agent.runtimeDir, build.program)
  }

  async attempt(args: readonly string[], build = this.build): Promise<Outcome> {
    const program = this.spawn(args, build)
    program.stdin.end()
    return await program.outcome()
  }

  async cli(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.attempt(args)
    assert.equal(code, 0, `warren ${args.join(' ')}\n${stdout}${stderr}`)
    return stdout
  }

  async members(build = this.build): Promise<readonly Member[]> {
    const { code, stdout, stderr } = await this.attempt(['members', '--json'], build)
    assert.equal(code, 0, stderr)
    return (JSON.parse(stdout) as { members: Member[] }).members
  }

  /** The sum of a metric's samples with these labels. */
  async metric(name: string, labels: Readonly<Record<string, string>>): Promise<number> {
    const { samples } = await this.client.admin.getMetrics({})
    return samples
      .filter(
        sample => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value)
      )
      .reduce((sum, { value }) => sum + value, 0)
  }
}

/** A founder of one build, and hosts of others that joined it; all see each other. */
export async function meshOf(
  scope: Scope,
  [first, ...others]: readonly [Build, ...Build[]],
  args: readonly string[] = []
): Promise<readonly MixedHost[]> {
  const names = ['a', 'b', 'c', 'd']
  const founder = await new MixedHost(scope, 'a', first).start(['--init', 'example.org', ...args])
  const joined: MixedHost[] = []
  for (const [at, build] of others.entries()) {
    joined.push(await new MixedHost(scope, names[at + 1] ?? '', build).join(founder, args))
  }
  const all = [founder, ...joined]
  await Promise.all(all.map(({ agent }) => agent.sees(others.length)))
  return all
}

/** Waits until `host` no longer lists `machine`. */
export async function rid(host: MixedHost, machine: string): Promise<void> {
  await waitFor(
    async () => !(await host.members()).some(member => member.machine === machine),
    `${machine} to leave ${host.name}`
  )
}
