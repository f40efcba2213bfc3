import {
  type Clock,
  detach,
  ErrorCode,
  type KeyedRate,
  type Logger,
  loop,
  type Metrics,
  silentMetrics,
  TokenBuckets,
  WarrenError
} from '../../core/index.ts'
import type { EventSink } from '../../events/index.ts'
import { type PeerKey, peerKeyOf, rawKeyOf } from '../../identity/index.ts'
import type { Mesh } from '../../mesh/index.ts'
import { create, decode, meshPb, toBinary } from '../../wire/index.ts'
import { FailureDetector, type Relayed } from './detector.ts'

export interface FailureServiceDeps {
  readonly mesh: Pick<
    Mesh,
    | 'connected'
    | 'isConnected'
    | 'isNeighbour'
    | 'ping'
    | 'request'
    | 'handle'
    | 'cutOff'
    | 'onConnect'
    | 'onDisconnect'
  >
  /** Members with a live lease, without this host. */
  readonly members: () => readonly PeerKey[]
  readonly isMember: (peer: PeerKey) => boolean
  readonly machineOf: (peer: PeerKey) => string | undefined
  /** Hides or shows the records of a member. */
  readonly suspect: (peer: PeerKey, suspected: boolean) => void
  /** @default no notification */
  readonly events?: EventSink
  readonly clock: Clock
  readonly log: Logger
  /** @default no notification */
  readonly metrics?: Metrics
}

const ROUND_MS = 1_000
const MAX_BYTES = 64
/** Requests that one member may send: pings on its behalf and suspicion gossip, per second and in a burst. */
export const ASKS: KeyedRate = { perSecond: 10, burst: 40, maxKeys: 8_192 }
const RELAYED_TIMEOUT_MS = 400
/** Members asked by `helperFor`, and for how long. */
const MAX_HELPERS = 4
const HELPER_TIMEOUT_MS = 1_500

/** Runs the failure detector over the mesh, and answers the requests of other detectors. */
export class FailureService {
  readonly #deps: FailureServiceDeps
  readonly #detector: FailureDetector
  readonly #asks = new TokenBuckets<PeerKey>(ASKS)
  readonly #metrics: Metrics
  readonly #stopping = new AbortController()

  /** Registers the probe protocol. Call it before the mesh starts. */
  constructor(deps: FailureServiceDeps) {
    const { mesh, clock } = deps
    this.#deps = deps
    this.#metrics = deps.metrics ?? silentMetrics
    this.#detector = new FailureDetector({
      // The others have neighbours of their own. To ask them would take a connection to every member in turn.
      members: () => deps.members().filter(peer => mesh.isNeighbour(peer)),
      isMember: deps.isMember,
      connected: () => mesh.connected(),
      ping: (peer, timeoutMs) => this.#ping(peer, timeoutMs),
      pingVia: (helper, peer, timeoutMs) => this.#pingVia(helper, peer, timeoutMs),
      notify: (to, about) => this.#notify(to, about),
      onSuspicion: (peer, suspected, reason) => this.#onSuspicion(peer, suspected, reason),
      onSilence: peer => this.#onSilence(peer),
      monotonicMs: clock.monotonicMs,
      random: Math.random
    })
    const sizes = { maxRequestBytes: MAX_BYTES, maxResponseBytes: MAX_BYTES }
    mesh.handle('/warren/probe/1', (from, request) => this.#answer(from, request), sizes)
    // A connection that closes without a reason is the first sign of a crash.
    mesh.onDisconnect(peer => {
      // One that was dialled for a use ends with it.
      if (mesh.isNeighbour(peer)) this.check(peer)
    })
    mesh.onConnect(peer => this.#detector.heard(peer))
  }

  start(): void {
    const { log } = this.#deps
    const { signal } = this.#stopping
    const rounds = loop(log, 'failure detection', { intervalMs: () => ROUND_MS, signal }, () => {
      // Not awaited: a slow member must not delay the check of the next one.
      detach(log, 'failure detection', this.#detector.round(), signal)
    })
    detach(log, 'failure detection', rounds, signal)
  }

  stop(): void {
    this.#stopping.abort()
  }

  /** Checks a member now, because a connection to it failed. */
  check(peer: PeerKey): void {
    if (!this.#stopping.signal.aborted) detach(this.#deps.log, 'failure detection', this.#detector.check(peer))
  }

  /** The start of the suspicion of a member, wall time. Undefined if it is not suspected. */
  suspectedSinceMs(peer: PeerKey): number | undefined {
    const { clock } = this.#deps
    const sinceMs = this.#detector.suspectedSinceMs(peer)
    return sinceMs === undefined ? undefined : Math.round(clock.wallMs() - (clock.monotonicMs() - sinceMs))
  }

  /** A connected member that reaches `peer`, of a few that are asked; undefined if there is none. */
  async helperFor(peer: PeerKey): Promise<PeerKey | undefined> {
    const helpers = this.#deps.mesh.connected().filter(other => other !== peer)
    const asked = helpers.slice(0, MAX_HELPERS).map(async helper => {
      if ((await this.#pingVia(helper, peer, HELPER_TIMEOUT_MS)) !== 'reached') throw new Error('missed')
      return helper
    })
    return await Promise.any(asked).catch(() => undefined)
  }

  /** Data arrived from the member. */
  heard(peer: PeerKey): void {
    this.#detector.heard(peer)
  }

  async #ask(to: PeerKey, request: Uint8Array, timeoutMs: number): Promise<meshPb.ProbeResponse | undefined> {
    try {
      const options = { timeoutMs, maxResponseBytes: MAX_BYTES, signal: this.#stopping.signal }
      const response = await this.#deps.mesh.request(to, '/warren/probe/1', request, options)
      return decode(meshPb.ProbeResponseSchema, response, MAX_BYTES)
    } catch {
      return undefined
    }
  }

  async #ping(peer: PeerKey, timeoutMs: number): Promise<boolean> {
    const { mesh } = this.#deps
    const answered = mesh.isConnected(peer)
      ? await mesh.ping(peer, timeoutMs)
      : (await this.#ask(peer, new Uint8Array(), timeoutMs)) !== undefined
    this.#count('direct', answered)
    return answered
  }

  async #pingVia(helper: PeerKey, peer: PeerKey, timeoutMs: number): Promise<Relayed> {
    const request = create(meshPb.ProbeRequestSchema, { ask: { case: 'relay', value: rawKeyOf(peer) } })
    const answer = await this.#ask(helper, toBinary(meshPb.ProbeRequestSchema, request), timeoutMs)
    this.#count('relayed', answer?.reached === true)
    return answer === undefined ? 'no answer' : answer.reached ? 'reached' : 'missed'
  }

  #count(path: 'direct' | 'relayed', answered: boolean): void {
    this.#metrics.count('warren_probes_total', { path, result: answered ? 'answered' : 'missed' })
  }

  #notify(to: PeerKey, about: PeerKey): void {
    const request = create(meshPb.ProbeRequestSchema, { ask: { case: 'suspected', value: rawKeyOf(about) } })
    void this.#ask(to, toBinary(meshPb.ProbeRequestSchema, request), RELAYED_TIMEOUT_MS)
  }

  async #answer(from: PeerKey, bytes: Uint8Array): Promise<Uint8Array> {
    const { ask } = decode(meshPb.ProbeRequestSchema, bytes, MAX_BYTES)
    if (ask.case === undefined) return new Uint8Array()
    if (!this.#asks.take(from, this.#deps.clock.monotonicMs())) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many probe requests', { limit: 'probe_asks' })
    }
    if (ask.value.length !== 32) throw new WarrenError(ErrorCode.MessageMalformed, 'this is not a peer key')
    const about = peerKeyOf(ask.value)
    // Only members are checked: no host can make us dial a stranger.
    const known = this.#deps.isMember(about)
    if (ask.case === 'suspected') {
      if (known) this.#detector.suspected(about)
      return new Uint8Array()
    }
    const reached = known && (await this.#ping(about, RELAYED_TIMEOUT_MS))
    return toBinary(meshPb.ProbeResponseSchema, create(meshPb.ProbeResponseSchema, { reached }))
  }

  #onSuspicion(peer: PeerKey, suspected: boolean, reason: string): void {
    const { log, machineOf, suspect } = this.#deps
    // Pings that a stop interrupts prove nothing about any member.
    if (this.#stopping.signal.aborted) return
    const machine = machineOf(peer) ?? ''
    if (suspected) log.warn('member suspected: its services are skipped', { peer, machine, reason })
    else log.info('member answers again', { peer, machine, reason })
    this.#metrics.count('warren_suspicions_total', { change: suspected ? 'suspected' : 'answers_again' })
    suspect(peer, suspected)
    if (suspected) this.#deps.events?.emit('host-suspected', { peer, machine, reason })
    else this.#deps.events?.emit('host-answers', { peer, machine })
  }

  // A connection to a silent host would stay for minutes, and prevent the next one.
  #onSilence(peer: PeerKey): void {
    const { mesh, log } = this.#deps
    if (!mesh.isConnected(peer)) return
    log.info('connection to a silent member closed', { peer })
    mesh.cutOff(peer)
  }
}
