import {
  detach,
  ErrorCode,
  type LimitName,
  type Logger,
  type Metrics,
  raceAbort,
  raceStaggered,
  silentMetrics,
  WarrenError
} from '../../core/index.ts'
import { ANY_CARRIER, type Carried, type Carrier } from '../carriers/index.ts'
import type { PacketPort } from '../datagram/packet/index.ts'
import type { Candidate, ProvenWorkload, ProxyDeps } from '../deps.ts'
import { type FastPathBudget, upgradeThresholdsOf } from '../fastpath/index.ts'
import { limitExceeded, type ProxyLimits } from '../limits.ts'
import { PathMemory } from '../path-memory.ts'
import { CARRIER_STAGGER_MS, SESSION_IDLE_MS } from '../timing.ts'
import { type CachedContext, type ContextCache, type DialOptions, sniOf } from '../tls/index.ts'
import { ClientSession } from './client-session.ts'
import type { Liveness } from './liveness.ts'
import { provenDestination } from './proven-destination.ts'
import { SessionProver } from './session-prover.ts'

export interface SessionPoolOptions {
  readonly deps: ProxyDeps
  /** Best first. */
  readonly carriers: readonly Carrier[]
  readonly limits: ProxyLimits
  readonly contexts: ContextCache
  readonly liveness: Liveness
  readonly packets: PacketPort
  readonly fastPath: FastPathBudget
  readonly stopping: AbortSignal
}

/**
 * The sessions that this agent opened, one for each pair of registrations and carrier.
 *
 * A session is opened on demand, each only once at a time however many flows wait for it; it is kept warm, replaced
 * when the source's certificate was renewed, and closed when idle.
 */
export class SessionPool {
  readonly #sessions = new Map<string, ClientSession>()
  readonly #pending = new Map<string, Promise<ClientSession>>()
  readonly #retired = new Set<ClientSession>()
  readonly #deps: ProxyDeps
  readonly #limits: ProxyLimits
  readonly #contexts: ContextCache
  /** Best first. */
  readonly #carriers: readonly Carrier[]
  readonly #failed: ReadonlyMap<Carrier, PathMemory>
  readonly #mayPacket: boolean
  readonly #liveness: Liveness
  readonly #log: Logger
  readonly #metrics: Metrics
  readonly #packets: PacketPort
  readonly #fastPath: FastPathBudget
  readonly #prover: SessionProver
  readonly #stopping: AbortSignal

  constructor({ deps, carriers: all, limits, contexts, liveness, packets, fastPath, stopping }: SessionPoolOptions) {
    this.#deps = deps
    this.#limits = limits
    this.#contexts = contexts
    this.#liveness = liveness
    this.#packets = packets
    this.#fastPath = fastPath
    const { monotonicMs } = deps.clock
    const { carrier: choice } = deps
    this.#carriers = choice === ANY_CARRIER ? all : all.filter(({ name }) => name === choice)
    this.#failed = new Map(this.#carriers.map(carrier => [carrier, new PathMemory(carrier.backoff, monotonicMs)]))
    // An agent that must not reach others directly must not send datagrams directly either.
    this.#mayPacket = choice === ANY_CARRIER || this.#carriers.some(({ allows }) => allows.datagrams)
    this.#log = deps.log
    this.#metrics = deps.metrics ?? silentMetrics
    this.#prover = new SessionProver(deps, stopping)
    this.#stopping = stopping
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
   * With carrier `auto` the carrier of the lowest rank is preferred; when it is late, the next one is tried as well.
   * While a worse one carries, the better ones are tried beside it. Rejects with DESTINATION_UNREACHABLE,
   * LIMIT_EXCEEDED, INVALID_SOURCE or the signal's reason.
   */
  async acquire(sourceId: string, destination: Candidate, signal: AbortSignal): Promise<ClientSession> {
    const context = await this.#contexts.get(sourceId)
    const [only, ...others] = this.#carriers
    if (only !== undefined && others.length === 0) {
      return await raceAbort(this.#get(only, sourceId, destination, context), signal)
    }
    const open = this.#carriers.filter(carrier => this.#isOpen(carrier, destination))
    const promising = open.filter(carrier => !this.#isBlocked(carrier, destination))
    for (const carrier of this.#carriers) {
      const warm = this.#warm(carrier, sourceId, destination, context)
      if (warm === undefined) continue
      for (const better of promising) {
        if (better.rank < carrier.rank) this.#tryBeside(better, sourceId, destination, context)
      }
      return warm
    }
    const failures: string[] = []
    const attempts = open.map(carrier => async () => {
      try {
        return await this.#get(carrier, sourceId, destination, context)
      } catch (err) {
        failures.push(`${carrier.name}: ${WarrenError.from(err).reason}`)
        throw err
      }
    })
    try {
      // A late session is kept as well, for the next flow.
      return await raceStaggered(attempts, CARRIER_STAGGER_MS, signal, () => {})
    } catch (err) {
      if (signal.aborted || !WarrenError.is(err, ErrorCode.DestinationUnreachable)) throw err
      const reason = `the agent of ${destination.machine} does not answer (${failures.join('; ')})`
      throw new WarrenError(ErrorCode.DestinationUnreachable, reason, { cause: err })
    }
  }

  /** Forgets failed paths to a host. */
  pathAppeared(machine: string): void {
    for (const memory of this.#failed.values()) memory.worked(machine)
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

  #warm(carrier: Carrier, sourceId: string, destination: Candidate, context: CachedContext): ClientSession | undefined {
    const key = keyOf(carrier, sourceId, destination)
    const session = this.#sessions.get(key)
    if (session === undefined) return undefined
    if (session.isFit(context.certPem)) return session
    this.#retire(key, session)
    return undefined
  }

  // Not bound to the first caller's signal: others may be waiting for the same session.
  #get(carrier: Carrier, sourceId: string, destination: Candidate, context: CachedContext): Promise<ClientSession> {
    const warm = this.#warm(carrier, sourceId, destination, context)
    if (warm !== undefined) return Promise.resolve(warm)
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
    context: CachedContext
  ): Promise<ClientSession> {
    let proven: ProvenWorkload | undefined
    let shown = false
    const options: DialOptions = {
      context: context.context,
      servername: sniOf(destination.registrationId),
      verify: offered => {
        shown = true
        proven = provenDestination(this.#deps.verifier, offered, destination)
      }
    }
    const { machine } = destination
    const failed = this.#memoryOf(carrier)
    let made: Carried
    try {
      made = await carrier.dial(destination, options, this.#stopping)
    } catch (err) {
      failed.failed(machine)
      const refused = WarrenError.is(err, ErrorCode.DestinationUnreachable) && shown && proven === undefined
      this.#metrics.count('warren_handshakes_total', { role: 'client', result: refused ? 'refused' : 'failed' })
      if (err instanceof WarrenError) throw err
      throw new WarrenError(ErrorCode.DestinationUnreachable, `the agent of ${destination.machine} does not answer`, {
        cause: err
      })
    }
    failed.worked(machine)
    this.#metrics.count('warren_handshakes_total', { role: 'client', result: 'ok' })
    if (proven === undefined) throw new WarrenError(ErrorCode.Internal, 'a session without a proof')
    const session = new ClientSession(made, {
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
      upgradeThresholds: upgradeThresholdsOf(this.#deps.upgradeThresholds),
      onSilent: () => {
        failed.failed(machine)
        this.#log.debug('session does not answer', { machine, carrier: made.path.name })
      },
      log: this.#log,
      metrics: this.#metrics
    })
    this.#sessions.set(key, session)
    session.onClose(() => {
      if (this.#sessions.get(key) === session) this.#sessions.delete(key)
      this.#retired.delete(session)
    })
    return session
  }

  #isOpen(carrier: Carrier, candidate: Candidate): boolean {
    return carrier.canReach(candidate) && (carrier.isLastResort || !this.#isBlocked(carrier, candidate))
  }

  #isBlocked(carrier: Carrier, { machine }: Candidate): boolean {
    return this.#memoryOf(carrier).isBlocked(machine)
  }

  #memoryOf(carrier: Carrier): PathMemory {
    const memory = this.#failed.get(carrier)
    if (memory === undefined) throw new WarrenError(ErrorCode.Internal, `no carrier ${carrier.name} here`)
    return memory
  }

  #tryBeside(carrier: Carrier, sourceId: string, destination: Candidate, context: CachedContext): void {
    const attempt = this.#get(carrier, sourceId, destination, context).then(
      () => {},
      () => {}
    )
    detach(this.#log, 'better session', attempt, this.#stopping)
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
    let oldest: [string, ClientSession] | undefined
    for (const entry of this.#sessions) {
      if (entry[1].isIdle && (oldest === undefined || entry[1].idleSinceMs < oldest[1].idleSinceMs)) oldest = entry
    }
    if (oldest === undefined) return false
    this.#retire(...oldest)
    return true
  }
}

function keyOf({ name }: Carrier, sourceId: string, destination: Candidate): string {
  return `${name}/${sourceId}/${destination.registrationId}`
}
