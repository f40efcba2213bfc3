import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { ErrorCode, ShortSignal, silentMetrics, WarrenError, within } from '../../core/index.ts'
import type { Path } from '../carriers/index.ts'
import type { ProvenWorkload } from '../deps.ts'
import {
  FAST_PATH_CUTS_PATH,
  type FastPathAcceptor,
  type PooledConnection,
  upgradeThresholdsOf
} from '../fastpath/index.ts'
import { type Cut, codeOf, type Flow } from '../flow/index.ts'
import { greet } from '../hello.ts'
import { type CapsulesEnd, discardEnd, joinFlow, type LocalEnd, type StreamEnd } from '../relay/index.ts'
import { type FlowRef, RESUME_PATH, type ResumeLink } from '../resume/index.ts'
import { askedToResume, endSession, isResume, PROOF_PATH, StreamWindows, type Watched } from '../session/index.ts'
import { INBOUND_IDLE_MS, OPEN_TIMEOUT_MS, UDP_IDLE_MS } from '../timing.ts'
import { agreedVersions, isSni, SESSION_WINDOW_BYTES, serverOptions } from '../tls/index.ts'
import { type Carrying, carryingBytes, carryingDatagrams } from './carrying.ts'
import { askedByHeaders, type FlowAsked, isMultipath, RecordRequests } from './flow-asked.ts'
import type { InboundContext } from './inbound-context.ts'
import { InboundFastPath } from './inbound-fastpath.ts'
import { InboundPackets } from './inbound-packets.ts'
import { InboundProofs } from './inbound-proofs.ts'
import { grantResumed, InboundResume, newPath } from './inbound-resume.ts'
import { onPooledConnection, onStream, type Responder, refuseStream } from './responder.ts'
import { overHeadersOf } from './resumable-flows.ts'

/** A session that the agent of a workload elsewhere opened to a workload of this host. Its identity is proven. */
export class InboundSession {
  readonly path: Path
  /** The first half of the registration id in the certificate that we showed. */
  readonly destinationPrefix: string
  readonly #socket: TLSSocket
  readonly #session: ServerHttp2Session
  readonly #context: InboundContext
  readonly #fastPath: InboundFastPath
  readonly #flows = new Set<Flow>()
  readonly #requests = new RecordRequests()
  readonly #watched: Watched
  readonly #proofs: InboundProofs
  readonly #windows: StreamWindows
  readonly #packets: InboundPackets
  readonly #resume: InboundResume | undefined
  #refused: Cut | undefined
  /** Accepts no more flows. */
  readonly turnAway = (): void => this.#session.close()

  constructor(
    socket: TLSSocket,
    source: ProvenWorkload,
    leafDer: Uint8Array,
    path: Path,
    context: InboundContext,
    acceptor: FastPathAcceptor
  ) {
    this.path = path
    this.#socket = socket
    this.#context = context
    const onAsked = (connection: PooledConnection, open: Buffer, gone: AbortSignal): void =>
      void this.#serveOnPooledConnection(connection, open, gone)
    const version = (): number | undefined => agreedVersions(this.#session.remoteSettings).fastPath
    // Whatever the path of the session: the opener may find a better one for its flows.
    this.#fastPath = new InboundFastPath({ socket, version, acceptor, budget: context.fastPath, onAsked })
    const servername: unknown = Reflect.get(socket, 'servername')
    this.destinationPrefix = typeof servername === 'string' ? servername : ''
    const { deps, warnings, stopping, resumable } = context
    const { destinationPrefix } = this
    this.#proofs = new InboundProofs({
      socket,
      source,
      leafDer,
      carrier: path.name,
      destinationPrefix,
      deps,
      warnings,
      stopping
    })
    const session = performServerHandshake(socket, serverOptions(context.maxStreams, resumable !== undefined))
    this.#session = session
    this.#packets = new InboundPackets({ session, socket, port: context.packets, machine: source.machine, deps })
    const peer = () => ({ leafDer: this.leafDer, machine: this.source.machine })
    if (resumable !== undefined) this.#resume = new InboundResume({ socket, peer })
    this.#windows = new StreamWindows(session)
    session.setLocalWindowSize(SESSION_WINDOW_BYTES)
    session.on('error', () => {})
    session.on('stream', (stream, headers) => {
      this.#windows.opened()
      stream.on('close', this.#windows.closed)
      void this.#serve(stream, headers)
    })
    session.setTimeout(INBOUND_IDLE_MS, () => {
      if (this.#flows.size === 0) this.destroy()
    })
    this.#watched = this.#packets.watched(this.#flows, () => this.destroy())
    context.liveness.watch(this.#watched)
    session.once('close', () => {
      context.liveness.unwatch(this.#watched)
      this.#packets.close()
      this.#fastPath.onSessionClosed()
      socket.destroy()
    })
  }

  /** The source of the session, by the certificate that it proved last. */
  get source(): ProvenWorkload {
    return this.#proofs.source
  }

  get leafDer(): Uint8Array {
    return this.#proofs.leafDer
  }

  get isIdle(): boolean {
    return this.#flows.size === 0
  }

  get flowCount(): number {
    return this.#flows.size
  }

  /** Reason why it may be cut when the certificate ends that the source has proved last; empty if nothing is wrong. */
  get problem(): string {
    return this.#proofs.problem
  }

  carries(flow: Flow): boolean {
    return this.#flows.has(flow)
  }

  onClose(callback: () => void): void {
    if (this.#session.destroyed) callback()
    else this.#session.once('close', callback)
  }

  /** Cuts its flows for the given reason and closes it. */
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
    stream.on('error', () => {})
    if (headers[':method'] === 'POST' || isResume(headers)) {
      return await this.#guarded(
        error => refuseStream(stream, error, overHeadersOf(error)),
        () => (isResume(headers) ? this.#resumeFlow(stream, headers) : this.#serveSession(stream, headers))
      )
    }
    const responder = onStream(stream)
    const { admission, deps } = this.#context
    const connect = (flow: Flow): Promise<void> => {
      if (flow.protocol === 'tcp') {
        const far = (): StreamEnd => this.#streamEnd(flow, stream)
        return this.#connect(flow, responder, carryingBytes(admission, far))
      }
      flow.multipath = isMultipath(headers, flow, deps.local)
      const far = (): CapsulesEnd => ({ kind: 'capsules', stream, packets: this.#packets.channel })
      return this.#connect(flow, responder, carryingDatagrams(admission, far))
    }
    await this.#serveFlow(
      responder,
      () => askedByHeaders(headers),
      flow => (headers[':method'] === 'CONNECT' ? connect(flow) : this.#preflight(flow, responder, stream))
    )
  }

  #streamEnd(flow: Flow, stream: ServerHttp2Stream): StreamEnd {
    const link = this.#linkOf(flow, { id: stream.id ?? 0, number: 0 })
    const upgradePath = this.#fastPath.upgradePathFor(stream)
    return { kind: 'stream', stream, upgradePath, link, resuming: this.#context.resumable }
  }

  #linkOf(flow: Flow, ref: FlowRef): ResumeLink | undefined {
    return this.#resume?.linkOf(ref, () => this.#flows.delete(flow))
  }

  async #resumeFlow(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    await this.#context.resumable?.ready(askedToResume(headers).key)
    if (this.#refused !== undefined) throw new WarrenError(ErrorCode.FlowCut, this.#refused.text)
    const pathOf = (flow: Flow) => newPath(this.#streamEnd(flow, stream), this.path.name)
    this.#context.resumable?.resume(askedToResume(headers), this, pathOf, (flow, position) => {
      this.#windows.charge(flow.room)
      grantResumed(stream, position)
      this.#flows.add(flow)
    })
  }

  async #serveOnPooledConnection(connection: PooledConnection, open: Buffer, gone: AbortSignal): Promise<void> {
    const { admission, deps } = this.#context
    const responder = onPooledConnection(connection, gone, deps.metrics ?? silentMetrics)
    const far = (flow: Flow) => ({
      kind: 'records' as const,
      connection,
      thresholds: upgradeThresholdsOf(deps.upgradeThresholds),
      link: this.#linkOf(flow, { id: connection.id, number: connection.number }),
      resuming: this.#context.resumable
    })
    const bytesOf = (flow: Flow) => carryingBytes(admission, () => far(flow))
    const read = (): FlowAsked => this.#requests.read(open)
    await this.#serveFlow(responder, read, flow => this.#connect(flow, responder, bytesOf(flow)))
  }

  /** Serves requests about the session itself, by their path. */
  async #serveSession(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const { ':path': path } = headers
    if (path === PROOF_PATH) {
      if (this.#refused !== undefined) throw new WarrenError(ErrorCode.FlowCut, this.#refused.text)
      await this.#proofs.serve(stream)
    } else if (path === FAST_PATH_CUTS_PATH) this.#fastPath.keep(stream)
    else if (path === RESUME_PATH && this.#resume !== undefined) this.#resume.keep(stream)
    else throw new WarrenError(ErrorCode.InvalidArgument, 'malformed request for a flow')
  }

  /** Serves a request for a flow from its entry in the table to its end, on a stream or on a pooled connection. */
  async #serveFlow(responder: Responder, read: () => FlowAsked, serve: (flow: Flow) => Promise<void>): Promise<void> {
    let flow: Flow | undefined
    const failed = (error: WarrenError): void => {
      responder.refuse(error)
      if (flow !== undefined) this.#context.flows.end(flow, error.reason, error.code)
    }
    await this.#guarded(failed, async () => {
      flow = this.#enter(read())
      this.#flows.add(flow)
      await serve(flow)
    })
    if (flow !== undefined) this.#flows.delete(flow)
  }

  async #guarded(failed: (error: WarrenError) => void, serve: () => Promise<void>): Promise<void> {
    try {
      await serve()
    } catch (err) {
      const error = WarrenError.from(err)
      if (error.code === ErrorCode.Internal) this.#context.deps.log.error('flow failed by a defect', { err })
      failed(error)
    }
  }

  async #connect<E extends LocalEnd>(flow: Flow, responder: Responder, { admit, ends }: Carrying<E>): Promise<void> {
    const { flows, deps } = this.#context
    const { end, target } = await this.#decided(flow, responder, signal => admit(flow, signal))
    if (responder.isGone) {
      discardEnd(end)
      flows.end(flow, 'cancelled by the source', ErrorCode.FlowCut)
      return
    }
    this.#windows.charge(flow.room)
    responder.grant(flow)
    greet(end, target, flow.id, this.source.spiffeId)
    const { udpIdleMs: idleMs = UDP_IDLE_MS, metrics = silentMetrics } = deps
    flows.opened(flow)
    flows.finish(flow, await joinFlow(flow, ends(end), { idleMs, metrics }))
  }

  async #preflight(flow: Flow, responder: Responder, stream: ServerHttp2Stream): Promise<void> {
    const { admission, flows } = this.#context
    await this.#decided(flow, responder, signal => admission.preflight(flow, signal))
    stream.respond({ ':status': 200 }, { endStream: true })
    stream.resume()
    flows.checked(flow)
  }

  async #decided<T>(flow: Flow, { gone }: Responder, decide: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return await within(OPEN_TIMEOUT_MS, [this.#context.stopping, flow.signal, gone], decide, new ShortSignal())
  }

  #enter({ registrationId, address, protocol, flowId }: FlowAsked): Flow {
    if (this.#refused !== undefined) throw new WarrenError(ErrorCode.FlowCut, this.#refused.text)
    // The source has verified the workload that our certificate names, and expects to reach that.
    if (!isSni(this.destinationPrefix) || !registrationId.startsWith(this.destinationPrefix)) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'the session is to another registration')
    }
    const flow = this.#context.flows.enter({
      id: flowId,
      direction: 'inbound',
      source: this.source.address,
      sourceId: undefined,
      sourceMachine: this.source.machine,
      protocol,
      carrier: this.path.name
    })
    flow.destination = { registrationId, address }
    return flow
  }
}
