import {
  detach,
  ErrorCode,
  type LimitName,
  type Logger,
  type Metrics,
  raceAbort,
  silentMetrics,
  WarrenError
} from '../../core/index.ts'
import { ANY_CARRIER, type Carrier, type Path } from '../carriers/index.ts'
import type { Candidate, ProxyDeps } from '../deps.ts'
import { type FastPathBudget, upgradeThresholdsOf } from '../fastpath/index.ts'
import { limitExceeded, type ProxyLimits } from '../limits.ts'
import { SESSION_IDLE_MS } from '../timing.ts'
import type { ContextCache, DialContext } from '../tls/index.ts'
import type { FindBeside } from './beside.ts'
import { betterCarriers } from './better-carriers.ts'
import { ClientSession } from './client-session.ts'
import { dialSession } from './dial-session.ts'
import { KnownCarriers } from './known-carriers.ts'
import type { Liveness } from './liveness.ts'
import { keyOf, oldestIdle } from './open-sessions.ts'
import type { PacketParts } from './packet-path.ts'
import { raceCarriers } from './race-carriers.ts'
import { SessionProver } from './session-prover.ts'
import { SilentPaths } from './silent-paths.ts'

export interface SessionPoolOptions {
  readonly deps: ProxyDeps
  /** Best first. */
  readonly carriers: readonly Carrier[]
  readonly limits: ProxyLimits
  readonly contexts: ContextCache
  readonly liveness: Liveness
  readonly packets: PacketParts
  readonly fastPath: FastPathBudget
  readonly stopping: AbortSignal
}

/**
 * The sessions that this agent opened, one for each pair of registrations and carrier.
 *
 * A session is opened on demand, each only once at a time however many flows wait for it. It is kept warm and closed when
 * idle. When a certificate of its ends was renewed, it takes flows until another is open in its place.
 */
export class SessionPool {
  readonly #sessions = new Map<string, ClientSession>()
  readonly #pending = new Map<string, Promise<ClientSession>>()
  readonly #retired = new Set<ClientSession>()
  readonly #deps: ProxyDeps
  readonly #limits: ProxyLimits
  readonly #contexts: ContextCache
  readonly #carriers: KnownCarriers
  readonly #mayPacket: boolean
  readonly #liveness: Liveness
  readonly #log: Logger
  readonly #metrics: Metrics
  readonly #packets: PacketParts
  readonly #fastPath: FastPathBudget
  readonly #prover: SessionProver
  readonly #stopping: AbortSignal
  readonly #silent: SilentPaths

  constructor({ deps, carriers: all, limits, contexts, liveness, packets, fastPath, stopping }: SessionPoolOptions) {
    this.#deps = deps
    this.#limits = limits
    this.#contexts = contexts
    this.#liveness = liveness
    this.#packets = packets
    this.#fastPath = fastPath
    const { carrier: choice } = deps
    const chosen = choice === ANY_CARRIER ? all : all.filter(({ name }) => name === choice)
    this.#carriers = new KnownCarriers(chosen, deps.clock.monotonicMs)
    // An agent that must not reach others directly must not send datagrams directly either.
    this.#mayPacket = choice === ANY_CARRIER || chosen.some(({ allows }) => allows.datagrams)
    this.#log = deps.log
    this.#metrics = deps.metrics ?? silentMetrics
    this.#prover = new SessionProver(deps, stopping)
    this.#stopping = stopping
    this.#silent = new SilentPaths({
      carriers: this.#carriers,
      open: async (carrier, { sourceId, destination: { registrationId } }) => {
        const { destination, context } = await this.#present(sourceId, registrationId)
        return await this.#get(carrier, sourceId, destination, context)
      },
      onLeft: peer => deps.pathLeft?.(peer),
      log: deps.log,
      stopping
    })
  }

  get size(): number {
    return this.#sessions.size + this.#retired.size
  }

  all(): ClientSession[] {
    return [...this.#sessions.values(), ...this.#retired]
  }

  /**
   * Returns a session from a registration of this host to `destination`, warm or new.
   *
   * With carrier `auto` the carrier of the lowest rank is preferred; when it is late, the next one is tried as well. One
   * that is known to be the path is tried at once. While a worse one carries, the better ones are tried beside it. Rejects with DESTINATION_UNREACHABLE,
   * UNSUPPORTED, LIMIT_EXCEEDED, INVALID_SOURCE or the signal's reason. `waits`: for a flow that waits.
   */
  async acquire(sourceId: string, destination: Candidate, signal: AbortSignal, waits = false): Promise<ClientSession> {
    const context = { ...(await this.#contexts.get(sourceId)), isPatient: waits }
    const { all } = this.#carriers
    const [only, ...others] = all
    if (only !== undefined && others.length === 0) {
      return await raceAbort(this.#get(only, sourceId, destination, context), signal)
    }
    const { machine } = destination
    const promising = this.#carriers.open(destination).filter(carrier => !this.#carriers.isBlocked(carrier, machine))
    for (const carrier of all) {
      const warm = this.#warm(carrier, sourceId, destination, context)
      if (warm === undefined) continue
      for (const better of promising) {
        if (better.rank < carrier.rank) this.#ignore(this.#get(better, sourceId, destination, context))
      }
      return warm
    }
    const get = (carrier: Carrier) => this.#get(carrier, sourceId, destination, context)
    return await raceCarriers(this.#carriers.groups(destination), get, machine, signal)
  }

  /** Forgets failed paths to a host. */
  pathAppeared(machine: string): void {
    this.#carriers.forget(machine)
  }

  /** Closes sessions that have been idle for long. Must be called every few seconds. */
  sweep(): void {
    const before = this.#deps.clock.monotonicMs() - SESSION_IDLE_MS
    for (const [key, session] of [...this.#sessions]) if (session.idleSinceMs < before) this.#retire(key, session)
    // Includes sessions that accept no more flows: no flow can use their fast-path connections.
    for (const session of this.all()) session.sweep()
  }

  /** Makes both ends of each session prove their present certificates, unless they have proved these. */
  async proveAgain(): Promise<void> {
    await Promise.all(this.all().map(session => this.#prover.prove(session)))
  }

  stop(): void {
    for (const session of this.all()) session.destroy()
  }

  #warm(carrier: Carrier, sourceId: string, destination: Candidate, context: DialContext): ClientSession | undefined {
    const key = keyOf(carrier, sourceId, destination)
    const session = this.#sessions.get(key)
    if (session === undefined || session.isFit(context.certPem)) return session
    if (session.isSound && session.ends.canStandIn) {
      this.#replace(carrier, sourceId, destination, context)
      return session
    }
    this.#retire(key, session)
    return undefined
  }

  // Not bound to the first caller's signal: others may be waiting for the same session.
  #get(carrier: Carrier, sourceId: string, destination: Candidate, context: DialContext): Promise<ClientSession> {
    const warm = this.#warm(carrier, sourceId, destination, context)
    return warm === undefined ? this.#make(carrier, sourceId, destination, context) : Promise.resolve(warm)
  }

  #make(carrier: Carrier, sourceId: string, destination: Candidate, context: DialContext): Promise<ClientSession> {
    const key = keyOf(carrier, sourceId, destination)
    const pending = this.#pending.get(key)
    if (pending !== undefined) return pending
    const { pendingDials, sessions } = this.#limits
    const { machine } = destination
    const refuse = (name: LimitName, what: string, limit: number): Promise<never> =>
      Promise.reject(limitExceeded(this.#metrics, name, what, limit, { machine }))
    if (this.#pending.size >= pendingDials) {
      return refuse('proxy_pending_dials', 'sessions being opened', pendingDials)
    }
    if (this.size >= sessions && !this.#evictIdle()) {
      return refuse('proxy_sessions', 'sessions of this agent', sessions)
    }
    const opening = this.#open(carrier, key, sourceId, destination, context).finally(() => {
      this.#pending.delete(key)
    })
    this.#pending.set(key, opening)
    opening.catch(() => {})
    return opening
  }

  async #open(
    carrier: Carrier,
    key: string,
    sourceId: string,
    destination: Candidate,
    context: DialContext
  ): Promise<ClientSession> {
    const { made, proven } = await dialSession(
      carrier,
      { sourceId, destination, context },
      { deps: this.#deps, carriers: this.#carriers, metrics: this.#metrics, stopping: this.#stopping }
    )
    const session: ClientSession = new ClientSession(made, {
      sourceId,
      destination,
      path: made.path,
      certPem: context.certPem,
      proven,
      wallMs: this.#deps.clock.wallMs,
      nowMs: this.#deps.clock.monotonicMs,
      liveness: this.#liveness,
      packets: this.#mayPacket ? this.#packets : undefined,
      fastPath: this.#fastPath,
      beside: this.#besideOf(carrier, made.path, sourceId, destination.registrationId),
      upgradeThresholds: upgradeThresholdsOf(this.#deps.upgradeThresholds),
      onSilent: () => this.#silent.onSilent(carrier, made, session),
      log: this.#log,
      metrics: this.#metrics
    })
    const former = this.#sessions.get(key)
    if (former !== undefined) this.#retire(key, former)
    this.#sessions.set(key, session)
    session.onClose(() => {
      if (this.#sessions.get(key) === session) this.#sessions.delete(key)
      this.#retired.delete(session)
    })
    return session
  }

  /** For flows of a session that is not on TCP, or is carried by a third host: connections beside a better session, which is opened. */
  #besideOf(carrier: Carrier, path: Path, sourceId: string, registrationId: string): FindBeside | undefined {
    const isBetter = betterCarriers(this.#carriers.all, carrier, path)
    if (isBetter === undefined) return undefined
    return async signal => {
      const { destination, context } = await this.#present(sourceId, registrationId)
      const get = (one: Carrier) => this.#get(one, sourceId, destination, context)
      const better = this.#carriers.groups(destination).map(group => group.filter(isBetter))
      return (
        await raceCarriers(
          better.filter(({ length }) => length > 0),
          get,
          destination.machine,
          signal
        )
      ).besideIt()
    }
  }

  /** What is known now of the ends of a session. */
  async #present(sourceId: string, registrationId: string): Promise<{ destination: Candidate; context: DialContext }> {
    const destination = this.#deps.directory.byId(registrationId)
    if (destination === undefined) throw new WarrenError(ErrorCode.DestinationNotFound, 'it is not registered')
    return { destination, context: await this.#contexts.get(sourceId) }
  }

  // The former one is no worse than before if this fails; so no other session makes room for it.
  #replace(carrier: Carrier, sourceId: string, destination: Candidate, context: DialContext): void {
    if (this.size >= this.#limits.sessions || this.#carriers.isBlocked(carrier, destination.machine)) return
    this.#ignore(this.#make(carrier, sourceId, destination, context))
  }

  #ignore(opening: Promise<ClientSession>): void {
    const settled = Promise.allSettled([opening]).then(() => {})
    detach(this.#log, 'session beside another', settled, this.#stopping)
  }

  #retire(key: string, session: ClientSession): void {
    this.#sessions.delete(key)
    if (session.isIdle) {
      session.destroy()
    } else if (session.isUsable) {
      this.#retired.add(session)
      session.retire()
    }
  }

  #evictIdle(): boolean {
    const oldest = oldestIdle(this.#sessions)
    if (oldest === undefined) return false
    this.#retire(...oldest)
    return true
  }
}
