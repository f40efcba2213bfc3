import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { Allowance, ErrorCode, raceAbort, silentMetrics, WarrenError, within } from '../../core/index.ts'
import { type Address, formatAddress, parseAddress } from '../../identity/index.ts'
import type { Protocol } from '../../policy/index.ts'
import type { BrokerDeps, ProvenWorkload } from '../deps.ts'
import { type Cut, codeOf } from '../flow/cut.ts'
import type { Carrier, Flow } from '../flow/flow.ts'
import { discardEnd, joinFlow } from '../flow/join.ts'
import { type FlowTable, flowIdFrom } from '../flow/table.ts'
import { greet } from '../hello.ts'
import type { Lane } from '../lane/lane.ts'
import type { LaneDoor } from '../lane/lane-door.ts'
import type { LaneBudget, LaneWay } from '../lane/lane-way.ts'
import { canTakeOver } from '../lane/raw-socket.ts'
import { limitExceeded } from '../limits.ts'
import { PacketChannel } from '../packet/channel.ts'
import type { PacketPort } from '../packet/port.ts'
import { endSession } from '../session/end-session.ts'
import { CONNECT_UDP, HEADER, refusalHeaders } from '../session/headers.ts'
import { SESSION_WINDOW_BYTES, serverOptions } from '../session/http2-options.ts'
import type { Liveness, Watched } from '../session/liveness.ts'
import { checkProof, makeProof, PROOF_PATH, readProof } from '../session/proof.ts'
import { isSni } from '../session/tls-options.ts'
import { INBOUND_IDLE_MS, OPEN_TIMEOUT_MS, PROOF_TIMEOUT_MS, UDP_IDLE_MS } from '../timing.ts'
import type { Admission } from './admission.ts'

export interface InboundContext {
  readonly deps: BrokerDeps
  readonly flows: FlowTable
  readonly admission: Admission
  readonly liveness: Liveness
  readonly maxStreams: number
  readonly packets: PacketPort
  readonly lanes: LaneBudget
  readonly stopping: AbortSignal
}

/** Proofs that one session may send us: each costs some signatures. One in half of a certificate's life is usual. */
export const PROOFS = { burst: 8, perSecond: 1, maxKeys: 1 }

const REGISTRATION_ID = /^[0-9a-f]{64}$/

/** A session that a workload elsewhere opened, by its agent, to one of this host. Its identity is proven. */
export class InboundSession {
  readonly carrier: Exclude<Carrier, 'local'>
  /** The first half of the registration id whose certificate we showed. */
  readonly destinationPrefix: string
  readonly #socket: TLSSocket
  readonly #session: ServerHttp2Session
  readonly #context: InboundContext
  readonly #door: LaneDoor
  readonly #flows = new Set<Flow>()
  readonly #watched: Watched
  readonly #proofs = new Allowance<string>(PROOFS)
  #source: ProvenWorkload
  #leafDer: Uint8Array
  #packets: PacketChannel | undefined
  // By the stream of a flow.
  readonly #takers = new Map<number, (lane: Lane) => void>()
  #closeDoor: (() => void) | undefined
  #refused: Cut | undefined

  constructor(
    socket: TLSSocket,
    source: ProvenWorkload,
    leafDer: Uint8Array,
    carrier: Exclude<Carrier, 'local'>,
    context: InboundContext,
    door: LaneDoor
  ) {
    this.#source = source
    this.#leafDer = leafDer
    this.carrier = carrier
    this.#socket = socket
    this.#context = context
    this.#door = door
    const servername: unknown = Reflect.get(socket, 'servername')
    this.destinationPrefix = typeof servername === 'string' ? servername : ''
    const session = performServerHandshake(socket, serverOptions(context.maxStreams))
    this.#session = session
    session.setLocalWindowSize(SESSION_WINDOW_BYTES)
    session.on('error', () => {})
    session.on('stream', (stream, headers) => void this.#serve(stream, headers))
    session.setTimeout(INBOUND_IDLE_MS, () => {
      if (this.#flows.size === 0) this.destroy()
    })
    this.#watched = { session, socket, isBusy: () => this.#flows.size > 0, onDead: () => this.destroy() }
    context.liveness.watch(this.#watched)
    session.once('close', () => {
      context.liveness.unwatch(this.#watched)
      this.#packets?.close()
      this.#closeDoor?.()
      socket.destroy()
    })
  }

  /** Who opened it, by the certificate that it proved last. */
  get source(): ProvenWorkload {
    return this.#source
  }

  get leafDer(): Uint8Array {
    return this.#leafDer
  }

  get isIdle(): boolean {
    return this.#flows.size === 0
  }

  onClose(callback: () => void): void {
    if (this.#session.destroyed) callback()
    else this.#session.once('close', callback)
  }

  /** Cuts its flows with the reason and ends it. */
  cut(cut: Cut): void {
    this.#refused = cut
    for (const flow of this.#flows) flow.cut(cut)
    endSession(this.#session, () => this.destroy())
  }

  destroy(): void {
    this.#context.liveness.unwatch(this.#watched)
    this.#session.destroy(undefined, codeOf('link'))
    this.#socket.destroy()
  }

  async #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const { flows, deps } = this.#context
    stream.on('error', () => {})
    let flow: Flow | undefined
    try {
      if (headers[':method'] === 'POST' && headers[':path'] === PROOF_PATH) {
        await this.#prove(stream)
        return
      }
      flow = this.#enter(headers)
      this.#flows.add(flow)
      if (headers[':method'] === 'CONNECT') await this.#connect(stream, flow)
      else await this.#preflight(stream, flow)
    } catch (err) {
      const error = WarrenError.from(err)
      if (error.code === ErrorCode.Internal) deps.log.error('flow failed by a defect', { err })
      refuse(stream, error)
      if (flow !== undefined) flows.end(flow, error.reason, error.code)
    } finally {
      if (flow !== undefined) this.#flows.delete(flow)
    }
  }

  async #connect(stream: ServerHttp2Stream, flow: Flow): Promise<void> {
    const { admission, flows, deps } = this.#context
    const { end, target } = await this.#judged(stream, flow, signal => admission.admit(flow, signal))
    if (stream.destroyed || stream.closed) {
      discardEnd(end)
      flows.end(flow, 'given up by the source', ErrorCode.FlowCut)
      return
    }
    stream.respond({ ':status': 200, [HEADER.flowId]: flow.id })
    greet(end, target, flow.id, this.source.spiffeId)
    const { udpIdleMs: idleMs = UDP_IDLE_MS, metrics = silentMetrics } = deps
    flows.opened(flow)
    const near = { kind: 'stream', stream, packets: this.#channel(flow), lane: this.#lane(stream, flow) } as const
    flows.finish(flow, await joinFlow(flow, near, end, { idleMs, metrics }))
  }

  async #preflight(stream: ServerHttp2Stream, flow: Flow): Promise<void> {
    const { admission, flows } = this.#context
    await this.#judged(stream, flow, signal => admission.preflight(flow, signal))
    stream.respond({ ':status': 200 }, { endStream: true })
    stream.resume()
    flows.checked(flow)
  }

  async #prove(stream: ServerHttp2Stream): Promise<void> {
    const { deps, stopping } = this.#context
    const { metrics = silentMetrics } = deps
    if (this.#refused !== undefined) throw new WarrenError(ErrorCode.FlowCut, this.#refused.text)
    const now = deps.clock.monotonicMs()
    if (this.#proofs.left('', now) < 1) {
      const { machine } = this.source
      throw limitExceeded(metrics, 'broker_proofs_per_session', 'proofs of one session', PROOFS.burst, { machine })
    }
    this.#proofs.use('', 1, now)
    const answer = await within(PROOF_TIMEOUT_MS, [stopping], async signal => {
      const proof = await raceAbort(readProof(stream), signal)
      const registrationId = deps.local.byPrefix(this.destinationPrefix)
      if (registrationId === undefined)
        throw new WarrenError(ErrorCode.DestinationNotFound, 'it is no longer registered')
      const ours = makeProof(this.#socket, 'server', await deps.local.svid(registrationId))
      const proved = checkProof(proof, this.#socket, 'client', this.#source.spiffeId, deps.judge)
      this.#source = proved.identity
      this.#leafDer = proved.leafDer
      return ours
    })
    if (stream.destroyed || stream.closed) return
    stream.respond({ ':status': 200 })
    stream.end(answer)
  }

  #channel(flow: Flow): PacketChannel | undefined {
    if (flow.protocol !== 'udp' || this.#session.destroyed) return undefined
    const { packets, deps } = this.#context
    this.#packets ??= PacketChannel.open({
      port: packets,
      exporter: (...args) => this.#socket.exportKeyingMaterial(...args),
      role: 'server',
      remotes: [],
      machine: this.source.machine,
      nowMs: deps.clock.monotonicMs,
      log: deps.log
    })
    return this.#packets
  }

  // The opener asks for it; a flow that stays small costs no more than an entry here.
  #lane({ id: streamId }: ServerHttp2Stream, { protocol }: Flow): LaneWay | undefined {
    if (protocol !== 'tcp' || this.carrier !== 'direct' || streamId === undefined || !canTakeOver()) return undefined
    return {
      budget: this.#context.lanes,
      listen: taker => {
        this.#closeDoor ??= this.#openDoor()
        this.#takers.set(streamId, taker)
        return () => this.#takers.delete(streamId)
      }
    }
  }

  #openDoor(): () => void {
    try {
      return this.#door.open({
        exporter: (...args) => this.#socket.exportKeyingMaterial(...args),
        takerOf: streamId => this.#takers.get(streamId)
      })
    } catch {
      // The session has just ended, and its flows with it.
      return () => {}
    }
  }

  async #judged<T>(stream: ServerHttp2Stream, flow: Flow, judge: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const gone = new AbortController()
    const onClose = (): void => {
      gone.abort(new WarrenError(ErrorCode.FlowCut, 'given up by the source'))
    }
    stream.once('close', onClose)
    try {
      return await within(OPEN_TIMEOUT_MS, [this.#context.stopping, flow.signal, gone.signal], judge)
    } finally {
      stream.off('close', onClose)
    }
  }

  #enter(headers: IncomingHttpHeaders): Flow {
    const { method, registrationId, address, protocol } = parseRequest(headers)
    if (this.#refused !== undefined) throw new WarrenError(ErrorCode.FlowCut, this.#refused.text)
    if (method === undefined || registrationId === undefined || address === undefined || protocol === undefined) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'malformed request for a flow')
    }
    // The source believes to talk to whom our certificate named, and judged that one.
    if (!isSni(this.destinationPrefix) || !registrationId.startsWith(this.destinationPrefix)) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'the session is to another registration')
    }
    const flow = this.#context.flows.enter({
      id: flowIdFrom(headers[HEADER.flowId]),
      direction: 'inbound',
      source: this.source.address,
      sourceId: undefined,
      sourceMachine: this.source.machine,
      protocol,
      carrier: this.carrier
    })
    flow.destination = { registrationId, address }
    return flow
  }
}

function parseRequest(headers: IncomingHttpHeaders): {
  method: string | undefined
  registrationId: string | undefined
  address: Address | undefined
  protocol: Protocol | undefined
} {
  const { ':method': method, ':authority': authority } = headers
  const destination = headers[HEADER.destination]
  return {
    method: method === 'CONNECT' || method === 'OPTIONS' ? method : undefined,
    registrationId: authority !== undefined && REGISTRATION_ID.test(authority) ? authority : undefined,
    address: typeof destination === 'string' ? addressFrom(destination) : undefined,
    protocol: protocolFrom(headers)
  }
}

// A flow of datagrams is an extended CONNECT, so that no agent takes its capsules for the bytes of a connection.
function protocolFrom(headers: IncomingHttpHeaders): Protocol | undefined {
  const { [HEADER.protocol]: protocol, ':method': method, ':protocol': extended } = headers
  if (protocol === 'tcp' && extended === undefined) return 'tcp'
  return protocol === 'udp' && extended === (method === 'CONNECT' ? CONNECT_UDP : undefined) ? 'udp' : undefined
}

function addressFrom(text: string): Address | undefined {
  try {
    const address = parseAddress(text)
    return formatAddress(address) === text ? address : undefined
  } catch {
    return undefined
  }
}

function refuse(stream: ServerHttp2Stream, error: WarrenError): void {
  if (stream.destroyed || stream.closed) return
  if (stream.headersSent) {
    stream.close(codeOf('link'))
    return
  }
  stream.respond(refusalHeaders(error), { endStream: true })
  // Takes what the source may send meanwhile, so that the stream can close.
  stream.resume()
}
