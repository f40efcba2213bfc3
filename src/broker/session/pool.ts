import {
  detach,
  ErrorCode,
  type LimitName,
  type Logger,
  type Metrics,
  raceAbort,
  raceStaggered,
  silentMetrics,
  WarrenError,
  within
} from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import type { BrokerDeps, Candidate, ProvenWorkload } from '../deps.ts'
import { type LaneBudget, laneWorthOf } from '../lane/lane-way.ts'
import { type BrokerLimits, limitExceeded } from '../limits.ts'
import type { PacketPort } from '../packet/port.ts'
import {
  CARRIER_TIMEOUT_MS,
  DIAL_TIMEOUT_MS,
  DIRECT_BACKOFF_MAX_MS,
  DIRECT_BACKOFF_MS,
  RELAY_BACKOFF_MAX_MS,
  RELAY_BACKOFF_MS,
  SESSION_IDLE_MS,
  STAGGER_MS,
  WAY_STAGGER_MS
} from '../timing.ts'
import { ClientSession } from './client-session.ts'
import type { CachedContext, ContextCache } from './context-cache.ts'
import { type Dialled, type DialOptions, dialAddress, openSession } from './dial.ts'
import type { Liveness } from './liveness.ts'
import { SessionProver } from './session-prover.ts'
import type { Shown } from './shown.ts'
import { sniOf } from './tls-options.ts'
import { WayMemory } from './way-memory.ts'

/** Best first. */
const WAYS = ['direct', 'libp2p', 'relay'] as const
type Way = (typeof WAYS)[number]

interface Made {
  readonly dialled: Dialled
  readonly carrier: ClientSession['carrier']
}

/** Addresses of one agent that are tried. */
const MAX_ADDRESSES = 8

/**
 * The sessions that this agent opened, one for each pair of registrations and carrier.
 *
 * Opened on demand, each only once at a time however many flows wait for it; kept warm; replaced when the source's
 * certificate was renewed; closed when idle.
 */
export class SessionPool {
  readonly #sessions = new Map<string, ClientSession>()
  readonly #pending = new Map<string, Promise<ClientSession>>()
  readonly #retired = new Set<ClientSession>()
  readonly #deps: BrokerDeps
  readonly #limits: BrokerLimits
  readonly #contexts: ContextCache
  readonly #failed: Readonly<Record<Way, WayMemory>>
  readonly #liveness: Liveness
  readonly #log: Logger
  readonly #metrics: Metrics
  readonly #packets: PacketPort
  readonly #lanes: LaneBudget
  readonly #prover: SessionProver
  readonly #stopping: AbortSignal

  constructor(
    deps: BrokerDeps,
    limits: BrokerLimits,
    contexts: ContextCache,
    liveness: Liveness,
    packets: PacketPort,
    lanes: LaneBudget,
    stopping: AbortSignal
  ) {
    this.#deps = deps
    this.#limits = limits
    this.#contexts = contexts
    this.#liveness = liveness
    this.#packets = packets
    this.#lanes = lanes
    const { monotonicMs } = deps.clock
    this.#failed = {
      direct: new WayMemory({ firstMs: DIRECT_BACKOFF_MS, longestMs: DIRECT_BACKOFF_MAX_MS }, monotonicMs),
      libp2p: new WayMemory({ firstMs: DIRECT_BACKOFF_MS, longestMs: DIRECT_BACKOFF_MAX_MS }, monotonicMs),
      relay: new WayMemory({ firstMs: RELAY_BACKOFF_MS, longestMs: RELAY_BACKOFF_MAX_MS }, monotonicMs)
    }
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
   * A session from a registration of this host to `destination`, warm or new.
   *
   * With carrier `auto` the direct way is preferred, then the mesh, then a relay; a way that is late is not waited for
   * alone. While a worse one carries, the better ones are tried beside it. Rejects with DESTINATION_UNREACHABLE,
   * LIMIT_EXCEEDED, INVALID_SOURCE or the signal's reason.
   */
  async acquire(sourceId: string, destination: Candidate, signal: AbortSignal): Promise<ClientSession> {
    const context = await this.#contexts.get(sourceId)
    const { carrier } = this.#deps
    if (carrier !== 'auto') return await raceAbort(this.#get(carrier, sourceId, destination, context), signal)

    const open = WAYS.filter(way => this.#isOpen(way, destination))
    const promising = open.filter(way => !this.#failed[way].isBlocked(destination.machine))
    for (const way of WAYS) {
      const warm = this.#warm(way, sourceId, destination, context)
      if (warm === undefined) continue
      for (const better of promising) {
        if (WAYS.indexOf(better) < WAYS.indexOf(way)) this.#tryBeside(better, sourceId, destination, context)
      }
      return warm
    }
    const failures: string[] = []
    const attempts = open.map(way => async () => {
      try {
        return await this.#get(way, sourceId, destination, context)
      } catch (err) {
        failures.push(`${way}: ${WarrenError.from(err).reason}`)
        throw err
      }
    })
    try {
      // One that is late is kept all the same, for the next flow.
      return await raceStaggered(attempts, WAY_STAGGER_MS, signal, () => {})
    } catch (err) {
      if (signal.aborted || !WarrenError.is(err, ErrorCode.DestinationUnreachable)) throw err
      const reason = `the agent of ${destination.machine} does not answer (${failures.join('; ')})`
      throw new WarrenError(ErrorCode.DestinationUnreachable, reason, { cause: err })
    }
  }

  /** Forgets what failed on the way to a host. */
  pathAppeared(machine: string): void {
    for (const memory of Object.values(this.#failed)) memory.worked(machine)
  }

  /** Closes what has been idle for long. To be called every few seconds. */
  sweep(): void {
    const before = this.#deps.clock.monotonicMs() - SESSION_IDLE_MS
    for (const [key, session] of [...this.#sessions]) if (session.idleSinceMs < before) this.#retire(key, session)
    // Of those that take no more flows as well: their lanes are for nobody.
    for (const session of this.all()) session.sweep()
  }

  /** Has both ends of each session prove the certificates that they have now, where those they proved are not these. */
  async proveAgain(): Promise<void> {
    await Promise.all(this.all().map(session => this.#prover.prove(session)))
  }

  stop(): void {
    for (const session of this.all()) session.destroy()
  }

  #warm(way: Way, sourceId: string, destination: Candidate, context: CachedContext): ClientSession | undefined {
    const key = keyOf(way, sourceId, destination)
    const session = this.#sessions.get(key)
    if (session === undefined) return undefined
    if (session.isFit(context.certPem)) return session
    this.#retire(key, session)
    return undefined
  }

  // Not bound to the first caller's signal: others may be waiting for the same session.
  #get(way: Way, sourceId: string, destination: Candidate, context: CachedContext): Promise<ClientSession> {
    const warm = this.#warm(way, sourceId, destination, context)
    if (warm !== undefined) return Promise.resolve(warm)
    const key = keyOf(way, sourceId, destination)
    const pending = this.#pending.get(key)
    if (pending !== undefined) return pending
    const { pendingDials, sessions } = this.#limits
    const { machine } = destination
    const refuse = (name: LimitName, what: string, limit: number): Promise<never> =>
      Promise.reject(limitExceeded(this.#metrics, name, what, limit, { machine }))
    if (this.#pending.size >= pendingDials) {
      return refuse('broker_pending_dials', 'sessions being opened', pendingDials)
    }
    if (this.size >= sessions && !this.#evictIdle()) {
      return refuse('broker_sessions', 'sessions of this agent', sessions)
    }
    const opening = this.#open(way, key, sourceId, destination, context).finally(() => {
      this.#pending.delete(key)
    })
    this.#pending.set(key, opening)
    opening.catch(() => {})
    return opening
  }

  async #open(
    way: Way,
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
      judge: offered => {
        shown = true
        proven = this.#prove(offered, destination)
      }
    }
    const { machine } = destination
    let made: Made
    try {
      made = await this.#dial(way, destination, options)
    } catch (err) {
      this.#failed[way].failed(machine)
      const refused = WarrenError.is(err, ErrorCode.DestinationUnreachable) && shown && proven === undefined
      this.#metrics.count('warren_handshakes_total', { role: 'client', result: refused ? 'refused' : 'failed' })
      if (err instanceof WarrenError) throw err
      throw new WarrenError(ErrorCode.DestinationUnreachable, `the agent of ${destination.machine} does not answer`, {
        cause: err
      })
    }
    this.#failed[way].worked(machine)
    this.#metrics.count('warren_handshakes_total', { role: 'client', result: 'ok' })
    if (proven === undefined) throw new WarrenError(ErrorCode.Internal, 'a session without a proof')
    const session = new ClientSession(made.dialled, {
      sourceId,
      destination,
      carrier: made.carrier,
      certPem: context.certPem,
      proven,
      wallMs: this.#deps.clock.wallMs,
      nowMs: this.#deps.clock.monotonicMs,
      liveness: this.#liveness,
      // Who must not reach others directly must not do so with datagrams either.
      packets: ['auto', 'direct'].includes(this.#deps.carrier) ? this.#packets : undefined,
      lanes: this.#lanes,
      laneWorth: laneWorthOf(this.#deps.laneWorth),
      onSilent: () => {
        this.#failed[way].failed(machine)
        this.#log.debug('session gives no sign of life', { machine, carrier: made.carrier })
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

  async #dial(way: Way, destination: Candidate, options: DialOptions): Promise<Made> {
    if (way === 'direct') return { dialled: await this.#dialDirect(destination, options), carrier: way }
    return await within(CARRIER_TIMEOUT_MS, [this.#stopping], async signal => {
      if (way === 'libp2p') {
        const stream = await this.#deps.openStream(destination.peer, { signal })
        return { dialled: await openSession(stream, options, signal), carrier: way }
      }
      const { stream, via } = await this.#deps.openRelayed(destination.peer, { signal })
      return { dialled: await openSession(stream, options, signal), carrier: `relay via ${via}` }
    })
  }

  #isOpen(way: Way, { dataAddresses, machine }: Candidate): boolean {
    // The mesh looks after its own connections; whether it has one now shows only when it is asked.
    if (way === 'libp2p') return true
    return (way === 'relay' || dataAddresses.length > 0) && !this.#failed[way].isBlocked(machine)
  }

  #dialDirect({ dataAddresses }: Candidate, options: DialOptions): Promise<Dialled> {
    const attempts = dataAddresses
      .slice(0, MAX_ADDRESSES)
      .map(address => (signal: AbortSignal) => dialAddress(address, options, signal))
    return within(DIAL_TIMEOUT_MS, [this.#stopping], signal =>
      raceStaggered(attempts, STAGGER_MS, signal, late => late.session.destroy())
    )
  }

  #prove({ leafDer, issuersDer }: Shown, destination: Candidate): ProvenWorkload {
    const verdict = this.#deps.judge.workload(leafDer, issuersDer)
    if (!verdict.ok) {
      throw new WarrenError(ErrorCode.DestinationUnreachable, `its certificate is refused: ${verdict.detail}`)
    }
    const wanted = formatAddress(destination.address)
    const shown = formatAddress(verdict.identity.address)
    if (shown !== wanted) {
      throw new WarrenError(ErrorCode.DestinationUnreachable, `${shown} answers there instead of ${wanted}`)
    }
    return verdict.identity
  }

  #tryBeside(way: Way, sourceId: string, destination: Candidate, context: CachedContext): void {
    const attempt = this.#get(way, sourceId, destination, context).then(
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

function keyOf(way: Way, sourceId: string, destination: Candidate): string {
  return `${way}/${sourceId}/${destination.registrationId}`
}
