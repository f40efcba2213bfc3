import type { ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import {
  ErrorCode,
  type Logger,
  type Metrics,
  raceAbort,
  silentMetrics,
  WarrenError,
  within
} from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import type { Protocol } from '../../policy/index.ts'
import type { BrokerDeps, Candidate, Credentials, ProvenWorkload } from '../deps.ts'
import { codeOf } from '../flow/cut.ts'
import type { Carrier } from '../flow/flow.ts'
import { dialLane } from '../lane/dial-lane.ts'
import type { Lane } from '../lane/lane.ts'
import type { LaneBudget, LaneWay, LaneWorth } from '../lane/lane-way.ts'
import { canTakeOver } from '../lane/raw-socket.ts'
import { limitExceeded } from '../limits.ts'
import { PacketChannel } from '../packet/channel.ts'
import type { Exporter } from '../packet/keys.ts'
import type { PacketPort, Remote } from '../packet/port.ts'
import { LANE_PAUSE_MS, LANE_TIMEOUT_MS, SUPERSEDED_PAUSE_MS } from '../timing.ts'
import type { Dialled } from './dial.ts'
import { endSession } from './end-session.ts'
import { CONNECT_UDP, HEADER, refusalFrom } from './headers.ts'
import type { Liveness, Watched } from './liveness.ts'
import { checkProof, exchangeProofs, makeProof } from './proof.ts'

/** The share of the time left after which the other end must have a renewed certificate, if all is well with it. */
const PROOF_SHARE = 0.6

/** What a flow asks of the destination's agent. */
export interface FlowRequest {
  readonly destination: Candidate
  readonly protocol: Protocol
  readonly flowId: string
}

export interface ClientSessionOptions {
  readonly sourceId: string
  readonly destination: Candidate
  readonly carrier: Exclude<Carrier, 'local'>
  /** The certificate it was opened with; a renewed one needs a new session. */
  readonly certPem: string
  /** What the destination's certificate proved. */
  readonly proven: ProvenWorkload
  /** By the wall clock: certificates have dates. */
  readonly wallMs: () => number
  readonly nowMs: () => number
  readonly liveness: Liveness
  /** The UDP side of the data port; undefined if datagrams must not use it. */
  readonly packets: PacketPort | undefined
  /** Places for lanes of this agent. */
  readonly lanes: LaneBudget
  readonly laneWorth: LaneWorth
  /** The other agent gives no sign of life, once for each such silence. */
  readonly onSilent: () => void
  readonly log: Logger
  readonly metrics?: Metrics | undefined
}

/** A warm session from one workload of this host to one elsewhere. */
export class ClientSession {
  readonly sourceId: string
  readonly destination: Candidate
  readonly carrier: Exclude<Carrier, 'local'>
  /** The certificate it was opened with. */
  readonly certPem: string
  readonly #spiffeId: string
  readonly #wallMs: () => number
  #leafDer: Uint8Array
  #notAfterMs: number
  #provedPem: string
  #provedAtMs: number
  #isProving = false
  #isRetired = false
  readonly #dialled: Dialled
  readonly #liveness: Liveness
  readonly #nowMs: () => number
  readonly #watched: Watched
  readonly #packetPort: PacketPort | undefined
  readonly #log: Logger
  readonly #metrics: Metrics
  #packets: PacketChannel | undefined
  readonly #lanes: LaneBudget
  readonly #laneWorth: LaneWorth
  #noLanesBeforeMs = Number.NEGATIVE_INFINITY
  readonly #flowIds = new Set<string>()
  // Of flows that the other agent has not answered yet.
  readonly #asking = new Set<(err: Error) => void>()
  readonly #whenSilent: () => void
  #streams = 0
  #idleSinceMs: number

  constructor(dialled: Dialled, options: ClientSessionOptions) {
    this.sourceId = options.sourceId
    this.destination = options.destination
    this.carrier = options.carrier
    this.certPem = options.certPem
    this.#spiffeId = options.proven.spiffeId
    this.#notAfterMs = options.proven.notAfterMs
    this.#leafDer = dialled.leafDer
    this.#provedPem = options.certPem
    this.#wallMs = options.wallMs
    this.#provedAtMs = options.wallMs()
    this.#dialled = dialled
    this.#liveness = options.liveness
    this.#nowMs = options.nowMs
    this.#packetPort = options.packets
    this.#lanes = options.lanes
    this.#laneWorth = options.laneWorth
    this.#log = options.log
    this.#metrics = options.metrics ?? silentMetrics
    this.#whenSilent = options.onSilent
    this.#idleSinceMs = options.nowMs()
    const { session, socket } = dialled
    this.#watched = {
      session,
      socket,
      isBusy: () => this.#streams > 0,
      onSilent: () => this.#onSilent(),
      onDead: () => this.destroy()
    }
    options.liveness.watch(this.#watched)
    session.on('error', () => {})
    session.once('close', () => {
      options.liveness.unwatch(this.#watched)
      this.#packets?.close()
    })
    if (session.destroyed) options.liveness.unwatch(this.#watched)
  }

  get isUsable(): boolean {
    const { session, socket } = this.#dialled
    return !session.destroyed && !session.closed && !socket.destroyed
  }

  /** Usable, and the other side is not silent: fit for another flow. */
  get isSound(): boolean {
    return this.isUsable && !this.#liveness.isSilent(this.#watched)
  }

  /** When the destination's certificate ends, of those it has proved the one it proved last. */
  get notAfterMs(): number {
    return this.#notAfterMs
  }

  get leafDer(): Uint8Array {
    return this.#leafDer
  }

  /** Whether either end has another certificate by now, or should have: ours is `certPem`, theirs is of a CA that was superseded. */
  needsProof(certPem: string, isSuperseded: boolean): boolean {
    if (this.#isProving || this.isIdle || !this.isUsable) return false
    const theirs = this.#provedAtMs + (this.#notAfterMs - this.#provedAtMs) * PROOF_SHARE
    const now = this.#wallMs()
    const isLate = now >= theirs || (isSuperseded && now >= this.#provedAtMs + SUPERSEDED_PAUSE_MS)
    return certPem !== this.#provedPem || isLate
  }

  /**
   * Proves to the other agent that our renewed certificate is ours, and has it prove its own, so that the flows of this session
   * outlive the certificates it began with. Rejects, and nothing has changed, when either is not proved.
   */
  async prove(credentials: Credentials, judge: BrokerDeps['judge'], signal: AbortSignal): Promise<void> {
    const { session, socket } = this.#dialled
    this.#isProving = true
    try {
      const answer = await exchangeProofs(session, makeProof(socket, 'client', credentials), signal)
      const { identity, leafDer } = checkProof(answer, socket, 'server', this.#spiffeId, judge)
      this.#leafDer = leafDer
      this.#notAfterMs = identity.notAfterMs
      this.#provedPem = credentials.certPem
      this.#provedAtMs = this.#wallMs()
    } finally {
      this.#isProving = false
    }
  }

  get isIdle(): boolean {
    return this.#streams === 0
  }

  /** Since when it has no flows, by the monotonic clock; infinite while it has some. */
  get idleSinceMs(): number {
    return this.#streams > 0 ? Number.POSITIVE_INFINITY : this.#idleSinceMs
  }

  /** Calls back once it is gone, for whatever reason. */
  onClose(callback: () => void): void {
    if (this.#dialled.session.destroyed) callback()
    else this.#dialled.session.once('close', callback)
  }

  /** Asks for a flow. Resolves with its stream once the other agent has granted it; rejects with its error. */
  async open(request: FlowRequest, signal: AbortSignal): Promise<ClientHttp2Stream> {
    const stream = await this.#ask({ ...this.#method(request), ...flowHeaders(request) }, signal)
    const { flowId } = request
    this.#flowIds.add(flowId)
    stream.once('close', () => this.#flowIds.delete(flowId))
    return stream
  }

  /** Has the other agent make all checks of `open`, up to the target, without opening a flow. */
  async preflight(request: FlowRequest, signal: AbortSignal): Promise<void> {
    const method = { ':method': 'OPTIONS', ':scheme': 'https', ':path': '*' }
    const stream = await this.#ask({ ...method, ...flowHeaders(request) }, signal)
    // Without an end of the request it would stay open, and the session busy, for ever.
    stream.end()
    stream.resume()
  }

  /** The datagram path beside it, made when first asked for; undefined if there can be none. */
  get packets(): PacketChannel | undefined {
    const { session, socket } = this.#dialled
    if (this.#packetPort === undefined || session.destroyed) return undefined
    this.#packets ??= PacketChannel.open({
      port: this.#packetPort,
      exporter: (...args) => socket.exportKeyingMaterial(...args),
      role: 'client',
      remotes: remotesOf(this.carrier, socket, this.destination.dataAddresses),
      machine: this.destination.machine,
      nowMs: this.#nowMs,
      log: this.#log
    })
    return this.#packets
  }

  /** How a flow of TCP on `stream` may get a connection of its own; undefined if it cannot now. */
  laneFor(stream: ClientHttp2Stream): LaneWay | undefined {
    if (this.carrier !== 'direct' || !canTakeOver() || this.#nowMs() < this.#noLanesBeforeMs) return undefined
    return { budget: this.#lanes, worth: this.#laneWorth, dial: () => this.#dialLane(stream) }
  }

  carries(flowId: string): boolean {
    return this.#flowIds.has(flowId)
  }

  /** Takes no more flows and closes when the last one ends. */
  retire(): void {
    this.#isRetired = true
    this.#closeIfSpent()
  }

  /** As `destroy`, once the resets of its flows have left. */
  end(): void {
    endSession(this.#dialled.session, () => this.destroy())
  }

  destroy(): void {
    this.#liveness.unwatch(this.#watched)
    const { session, socket } = this.#dialled
    session.destroy(undefined, codeOf('link'))
    socket.destroy()
  }

  async #dialLane({ id: streamId }: ClientHttp2Stream): Promise<Lane> {
    const { socket } = this.#dialled
    const { remoteAddress: host, remotePort: port } = socket
    if (host === undefined || port === undefined || streamId === undefined) throw new Error('the session has ended')
    const exporter: Exporter = (...args) => socket.exportKeyingMaterial(...args)
    try {
      const lane = await within(LANE_TIMEOUT_MS, [], signal => dialLane({ exporter, streamId, host, port }, signal))
      this.#metrics.count('warren_lanes_total', { role: 'client', result: 'ok' })
      return lane
    } catch (err) {
      this.#noLanesBeforeMs = this.#nowMs() + LANE_PAUSE_MS
      this.#metrics.count('warren_lanes_total', { role: 'client', result: 'failed' })
      this.#log.debug('no lane beside a session', { machine: this.destination.machine, err })
      throw err
    }
  }

  // Not before the last flow has ended: a session that says goodbye takes no more requests, and so no proof.
  #closeIfSpent(): void {
    if (this.#isRetired && this.#streams === 0 && this.isUsable) this.#dialled.session.close()
  }

  #method({ protocol, destination }: FlowRequest): OutgoingHttpHeaders {
    if (protocol === 'tcp') return { ':method': 'CONNECT' }
    // Node would throw, and the other agent would not know what it is asked.
    if (this.#dialled.session.remoteSettings.enableConnectProtocol !== true) {
      throw new WarrenError(ErrorCode.Unsupported, `the agent of ${destination.machine} does not broker udp`)
    }
    const extended = { ':protocol': CONNECT_UDP, ':scheme': 'https', ':path': '/' }
    return { ':method': 'CONNECT', ...extended, 'capsule-protocol': '?1' }
  }

  async #ask(headers: OutgoingHttpHeaders, signal: AbortSignal): Promise<ClientHttp2Stream> {
    const { session } = this.#dialled
    if (!this.isUsable) throw new WarrenError(ErrorCode.DestinationUnreachable, 'the session to its agent has ended')
    // Node would queue the request without a word.
    const limit = session.remoteSettings.maxConcurrentStreams ?? 1
    if (this.#streams >= limit) {
      const { machine } = this.destination
      throw limitExceeded(this.#metrics, 'broker_flows_per_session', 'flows of one session', limit, { machine })
    }
    if (this.#streams === 0) this.#liveness.probe(this.#watched)
    this.#streams += 1
    const stream = session.request(headers)
    const answer = Promise.withResolvers<Record<string, unknown>>()
    stream.on('error', answer.reject)
    this.#asking.add(answer.reject)
    stream.once('response', answer.resolve)
    stream.once('close', () => {
      this.#streams -= 1
      if (this.#streams === 0) this.#idleSinceMs = this.#nowMs()
      this.#closeIfSpent()
      if (this.#asking.has(answer.reject)) {
        answer.reject(new WarrenError(ErrorCode.DestinationUnreachable, 'its agent closed the session'))
      }
    })
    try {
      const received = await raceAbort(answer.promise, signal)
      if (received[':status'] !== 200) throw refusalFrom(received)
      return stream
    } catch (err) {
      answer.promise.catch(() => {})
      if (!stream.closed) stream.close(codeOf('link'))
      throw err
    } finally {
      this.#asking.delete(answer.reject)
    }
  }

  // The path may be dead: who waits for an answer is better served by another one. What flows already may yet go on.
  #onSilent(): void {
    this.#whenSilent()
    for (const reject of this.#asking) {
      reject(new WarrenError(ErrorCode.DestinationUnreachable, 'its agent gives no sign of life'))
    }
  }
}

// Where the session's own connection leads, if it is one of TCP: of the announced addresses it is the one that answered.
function remotesOf(carrier: Carrier, { remoteAddress, remotePort }: TLSSocket, announced: readonly string[]): Remote[] {
  if (carrier === 'direct' && remoteAddress !== undefined && remotePort !== undefined) {
    return [{ address: remoteAddress.replace(/^::ffff:(?=\d+\.)/i, ''), port: remotePort }]
  }
  return announced.flatMap(address => {
    const [, host, port] = /^\[?([0-9a-fA-F.:]+)\]?:(\d{1,5})$/.exec(address) ?? []
    return host === undefined ? [] : [{ address: host, port: Number(port) }]
  })
}

function flowHeaders({ destination, protocol, flowId }: FlowRequest): OutgoingHttpHeaders {
  return {
    ':authority': destination.registrationId,
    [HEADER.destination]: formatAddress(destination.address),
    [HEADER.protocol]: protocol,
    [HEADER.flowId]: flowId
  }
}
