import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Scope } from '../harness/index.ts'
import {
  churn,
  type Disturbance,
  forbidden,
  killed,
  lost,
  mayEnd,
  mustEnd,
  reregistered,
  rules,
  short
} from './disturbances.ts'
import { Fleet, type Member, type Sample } from './fleet.ts'
import { NAMES, type Name } from './network.ts'
import type { Protocol } from './numbers.ts'
import { ROUTES } from './routes.ts'
import { type Growth, growthOf, type Point } from './slope.ts'
import { WatchedFlow } from './watched-flow.ts'

export interface SoakOptions {
  /** How long disturbances are begun. */
  readonly minutes: number
  /** Ends a flow and does not admit it: the soak must find that. */
  readonly plant?: boolean
  readonly say: (line: string) => void
}

export interface AgentReport {
  readonly name: Name
  readonly last: Sample
  /** Undefined where the agent was killed so late that too few samples are left. */
  readonly growth: Readonly<Record<keyof Sample, Growth | undefined>>
  readonly renewals: number
}

export interface Report {
  readonly numbers: number
  /** Flows that ended by a disturbance. */
  readonly explained: number
  readonly disturbances: number
  readonly agents: readonly AgentReport[]
  /** Empty if all is well. */
  readonly failures: readonly string[]
  /** Directory of the logs of the agents since their last start, if anything failed. */
  readonly logs: string | undefined
}

const MIB = 1024 * 1024
const LONG_MINUTES = 10

/**
 * What an agent may grow by in the last two thirds of the run, or of its life. In a short run it has not warmed up: its
 * heap grows to its size, and the log of the database to its 4 MiB.
 */
function maxGrowth(minutes: number): Readonly<Record<keyof Sample, number>> {
  const isLong = minutes >= LONG_MINUTES
  return { residentBytes: (isLong ? 32 : 160) * MIB, descriptors: isLong ? 16 : 32, diskBytes: (isLong ? 4 : 8) * MIB }
}

const KEYS: ReadonlyArray<keyof Sample> = ['residentBytes', 'descriptors', 'diskBytes']
const PROTOCOLS: readonly Protocol[] = ['tcp', 'udp']
const MINUTE_MS = 60_000

/** Seconds where there are hours and weeks: each certificate is renewed several times in a run. */
function lifetimes(minutes: number): string[] {
  const [svid, node, authority] = minutes < LONG_MINUTES ? ['24s', '48s', '120s'] : ['2m', '4m', '10m']
  const lives = ['--svid-lifetime', svid, '--node-lifetime', node, '--authority-lifetime', authority]
  return [...lives, '--jwt-key-lifetime', svid, '--no-mdns']
}

/** Runs a fleet for some minutes, disturbs it, and reports what ended, what grew and what went wrong. */
export async function soak(scope: Scope, options: SoakOptions): Promise<Report> {
  const fleet = await Fleet.start(scope, lifetimes(options.minutes))
  const run = new Soak(fleet, options)
  scope.defer(() => run.stop())
  return await run.run()
}

class Soak {
  readonly #fleet: Fleet
  readonly #options: SoakOptions
  readonly #flows: readonly WatchedFlow[]
  readonly #running: ReadonlyArray<Promise<void>>
  readonly #failures: string[] = []
  readonly #points = new Map<string, Point[]>()
  readonly #startedMs = performance.now()
  #cause: Disturbance | undefined
  #affected: ReadonlySet<WatchedFlow> = new Set()
  readonly #endedNow = new Set<WatchedFlow>()
  #explained = 0
  #disturbances = 0

  constructor(fleet: Fleet, options: SoakOptions) {
    this.#fleet = fleet
    this.#options = options
    this.#flows = ROUTES.flatMap(route =>
      PROTOCOLS.map(protocol => new WatchedFlow(fleet, route, protocol, (flow, reason) => this.#ended(flow, reason)))
    )
    this.#running = this.#flows.map(flow => flow.run())
  }

  async run(): Promise<Report> {
    const { say, minutes, plant } = this.#options
    try {
      await this.#settled()
      this.#sample()
      say(`${this.#flows.length} flows are open, of every carrier`)
      const endMs = performance.now() + minutes * MINUTE_MS
      if (plant === true) await this.#plant()
      for (const disturbance of plan()) {
        if (performance.now() > endMs || this.#failures.length > 0) break
        await this.#disturb(disturbance)
      }
    } catch (err) {
      this.#failures.push(`${this.#cause?.name ?? 'at the start'}: ${err instanceof Error ? err.message : String(err)}`)
    }
    return await this.#report()
  }

  async stop(): Promise<void> {
    for (const flow of this.#flows) flow.stop()
    await Promise.all(this.#running)
  }

  async #disturb(disturbance: Disturbance): Promise<void> {
    const { say } = this.#options
    const beganMs = performance.now()
    this.#cause = disturbance
    this.#affected = new Set(this.#flows.filter(flow => mayEnd(disturbance, flow)))
    const certain = this.#flows.filter(flow => mustEnd(disturbance, flow))
    this.#endedNow.clear()
    this.#disturbances += 1
    await disturbance.run(this.#fleet, () => this.#allEnded(certain))
    await this.#settled()
    this.#sample()
    const tookS = ((performance.now() - beganMs) / 1_000).toFixed(1)
    say(
      `${this.#clock()}  ${disturbance.name}: ${this.#endedNow.size} of ${this.#affected.size} flows ended, ${tookS} s`
    )
    this.#cause = undefined
    this.#affected = new Set()
  }

  #ended(flow: WatchedFlow, reason: string): void {
    const isWrong = reason.startsWith('WRONG')
    if (!isWrong && this.#affected.has(flow)) {
      this.#explained += 1
      this.#endedNow.add(flow)
      return
    }
    const meanwhile = this.#cause === undefined ? '' : ` during ${this.#cause.name}`
    this.#failures.push(
      `${this.#clock()}  ${flow.name} by ${flow.paths.map(path => path.join('–')).join(' or ')} ended${meanwhile}: ${reason}`
    )
  }

  async #allEnded(flows: readonly WatchedFlow[]): Promise<void> {
    const open = (): WatchedFlow[] => flows.filter(flow => !this.#endedNow.has(flow))
    await this.#fleet.until(
      () => open().length === 0,
      () => `these flows have not ended: ${open().map(({ name }) => name)}`
    )
  }

  /** Waits until each flow is open on its way and has received further numbers. */
  async #settled(): Promise<void> {
    const before = new Map(this.#flows.map(flow => [flow, flow.received]))
    const still = (): WatchedFlow[] =>
      this.#flows.filter(flow => !flow.isOpen || flow.received <= (before.get(flow) ?? 0))
    await this.#fleet.until(
      () => still().length === 0,
      () => `these flows do not move: ${still().map(({ name, problem }) => `${name} (${problem})`)}`
    )
  }

  /** A rule that ends a flow without being one of the disturbances. */
  async #plant(): Promise<void> {
    const [, , victim] = this.#flows
    if (victim === undefined) return
    const { opened } = victim
    await this.#fleet.rule('deny', victim.source, victim.destination)
    await this.#fleet.rule('allow', victim.source, victim.destination)
    await this.#fleet.until(
      () => victim.opened > opened,
      () => 'the planted end has not come'
    )
  }

  #sample(): void {
    for (const member of this.#fleet.all) {
      const sample = member.sample()
      for (const key of KEYS) {
        const points = this.#points.get(`${member.name} ${key}`) ?? []
        points.push({ atMs: performance.now(), value: sample[key] })
        this.#points.set(`${member.name} ${key}`, points)
      }
    }
  }

  async #report(): Promise<Report> {
    const agents: AgentReport[] = []
    for (const member of this.#fleet.all) {
      if (member.hasCrashed) this.#failures.push(`the agent of ${member.name} ended, and nobody killed it`)
      if (member.agent.program.hasEnded) continue
      agents.push(await this.#reportOf(member))
      const alarms = (await member.agent.cli('status')).split('\n').filter(line => line.startsWith('ALARM'))
      this.#failures.push(...alarms.map(line => `${member.name}: ${line}`))
    }
    // What grows is told by a whole run only.
    if (this.#failures.length === 0) this.#failures.push(...this.#growths(agents))
    return {
      numbers: this.#flows.reduce((sum, flow) => sum + flow.received, 0),
      explained: this.#explained,
      disturbances: this.#disturbances,
      agents,
      failures: this.#failures,
      logs: this.#failures.length === 0 ? undefined : this.#keepLogs()
    }
  }

  #growths(agents: readonly AgentReport[]): string[] {
    const max = maxGrowth(this.#options.minutes)
    return agents.flatMap(({ name, growth, renewals }) => [
      ...(renewals === 0 && this.#options.minutes >= 1 ? [`${name} has renewed no certificate`] : []),
      ...KEYS.filter(key => (growth[key]?.total ?? 0) > max[key]).map(
        key => `${key} of ${name} grew by ${Math.round(growth[key]?.total ?? 0)}`
      )
    ])
  }

  async #reportOf(member: Member): Promise<AgentReport> {
    const growth = (key: keyof Sample): Growth | undefined => {
      const all = this.#points.get(`${member.name} ${key}`) ?? []
      // A life that was too short to warm up says nothing.
      const isShort = performance.now() - member.startedMs < (this.#options.minutes * MINUTE_MS) / 3
      if (isShort && key !== 'diskBytes') return undefined
      // The disk outlives the process, memory and descriptors do not.
      return growthOf(key === 'diskBytes' ? all : all.filter(({ atMs }) => atMs >= member.startedMs))
    }
    return {
      name: member.name,
      last: member.sample(),
      growth: {
        residentBytes: growth('residentBytes'),
        descriptors: growth('descriptors'),
        diskBytes: growth('diskBytes')
      },
      renewals: await member.renewals()
    }
  }

  #keepLogs(): string {
    const directory = mkdtempSync(join(tmpdir(), 'warren-soak-'))
    for (const { name, agent } of this.#fleet.all) writeFileSync(join(directory, `${name}.log`), agent.program.stderr)
    return directory
  }

  #clock(): string {
    return `${new Date().toISOString().slice(11, 19)}  ${((performance.now() - this.#startedMs) / MINUTE_MS).toFixed(1)} min`
  }
}

/**
 * What happens, in order and for ever. First each agent is killed; then those of far and home alone, so that hub and near
 * live long enough to show whether they grow.
 */
function* plan(): Generator<Disturbance> {
  yield* [killed('hub'), killed('near')]
  for (let round = 0; ; round += 1) {
    const route = ROUTES[round % ROUTES.length]
    const [protocol, other] = round % 2 === 0 ? (['tcp', 'udp'] as const) : (['udp', 'tcp'] as const)
    const name = NAMES[round % NAMES.length] ?? 'hub'
    yield churn
    yield killed(round % 2 === 0 ? 'far' : 'home')
    yield short
    yield lost(round % 2 === 0 ? ['near', 'home'] : ['near', 'hub'])
    yield rules
    if (route !== undefined) {
      const { from, to } = route
      yield forbidden(`soak.client.${from}-${to}-${protocol}.default`, `soak.echo.${to}-${protocol}.default`)
    }
    yield reregistered(name, other)
  }
}
