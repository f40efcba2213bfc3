import type { ClientHttp2Stream } from 'node:http2'
import { ErrorCode, raceAbort, silentMetrics, WarrenError } from '../../core/index.ts'
import type { Path } from '../carriers/index.ts'
import type { Candidate, ProxyDeps, TlsCredentials } from '../deps.ts'
import { MAX_FIRST_BYTES, PooledConnectionLost } from '../fastpath/index.ts'
import { codeOf } from '../flow/index.ts'
import type { CapsulesEnd, RecordsEnd, StreamEnd } from '../relay/index.ts'
import type { Dialled } from '../tls/index.ts'
import { type Beside, besideOf } from './beside.ts'
import { ClientFastPath } from './client-fastpath.ts'
import { ClientResume } from './client-resume.ts'
import type { ClientSessionOptions } from './client-session-options.ts'
import { endSession } from './end-session.ts'
import { FlowAsks } from './flow-asks.ts'
import { FlowPlaces } from './flow-places.ts'
import { connectHeaders, type FlowRequest, pooledOpen, preflightHeaders, requireSupport } from './flow-request.ts'
import { asksForTwoPaths, HEADER } from './headers.ts'
import type { Watched } from './liveness.ts'
import { PacketPath } from './packet-path.ts'
import { ProvenEnds } from './proven-ends.ts'
import { positionIn, type ResumeRequest, resumeHeaders } from './resume-request.ts'

/** A warm session from one workload of this host to a workload elsewhere. */
export class ClientSession {
  readonly sourceId: string
  readonly destination: Candidate
  readonly path: Path
  readonly certPem: string
  /** The certificates that both ends have proved in it, and when they end. */
  readonly ends: ProvenEnds
  #isRetired = false
  readonly #dialled: Dialled
  readonly #options: ClientSessionOptions
  readonly #watched: Watched
  readonly #packets: PacketPath
  /** Undefined if its connection does not allow another one beside it. */
  readonly #fastPath: ClientFastPath | undefined
  readonly #flowIds = new Set<string>()
  readonly #asks: FlowAsks
  readonly #places: FlowPlaces
  /** Undefined if one of the two agents does not resume flows. */
  readonly #resume: ClientResume | undefined

  constructor(dialled: Dialled, options: ClientSessionOptions) {
    this.sourceId = options.sourceId
    this.destination = options.destination
    this.path = options.path
    this.certPem = options.certPem
    this.ends = new ProvenEnds({ dialled, ...options })
    this.#dialled = dialled
    this.#options = options
    const { path, destination, liveness, nowMs, log, metrics = silentMetrics } = options
    const { session, socket } = dialled
    const { machine } = destination
    this.#packets = new PacketPath({ port: options.packets, dialled, path, destination, nowMs, log })
    const { beside, fastPath: budget, upgradeThresholds: thresholds } = options
    if (path.allows.fastPath || beside !== undefined) {
      this.#fastPath = new ClientFastPath({ dialled, path, beside, budget, thresholds, machine, nowMs, log, metrics })
    }
    this.#places = new FlowPlaces({ dialled, machine, nowMs, metrics, onBusy: () => liveness.probe(this.#watched) })
    this.#asks = new FlowAsks(dialled, this.#places, () => this.#closeIfSpent())
    if (dialled.versions.resume !== undefined) {
      const peer = () => ({ leafDer: this.ends.leafDer, machine })
      this.#resume = new ClientResume({ dialled, peer, onIdle: () => this.#closeIfSpent() })
    }
    this.#watched = {
      session,
      socket,
      isBusy: () => !this.isIdle,
      isCarriedBeside: () => this.isCarriedBeside,
      onSilent: () => this.#onSilent(),
      onDead: () => this.destroy()
    }
    options.liveness.watch(this.#watched)
    session.on('error', () => {})
    session.once('close', () => {
      options.liveness.unwatch(this.#watched)
      this.#packets.close()
      this.#fastPath?.onSessionClosed()
    })
    if (session.destroyed) options.liveness.unwatch(this.#watched)
  }

  /** How further connections to the other agent are made. Throws if the session is not on TCP, or has ended. */
  readonly besideIt = (): Beside => besideOf(this.#dialled, this.path)

  get isUsable(): boolean {
    const { session, socket } = this.#dialled
    return !session.destroyed && !session.closed && !socket.destroyed
  }

  /** Whether it has flows of datagrams alone, in packets that arrive: their path may not be that of the session. */
  get isCarriedBeside(): boolean {
    return this.#packets.carries(this.#places.taken)
  }

  /** Whether it is usable, and the other side is not silent. */
  get isSound(): boolean {
    return this.isUsable && !this.#options.liveness.isSilent(this.#watched)
  }

  /**
   * Whether it is fit for another flow of a source whose certificate is `certPem`: sound, opened with that one, and not
   * about to be cut because an end has not proved a renewed one. A busy session stays fit until its first failed proof.
   */
  isFit(certPem: string): boolean {
    if (!this.isSound || this.certPem !== certPem) return false
    return this.isIdle ? !this.ends.isOverdue : this.ends.attempts.failures === 0
  }

  get flowCount(): number {
    return this.#places.taken
  }

  /** Whether either end has another certificate, or should have: ours is `certPem`, theirs is of a replaced CA. */
  needsProof(certPem: string, isReplaced: boolean): boolean {
    return !this.isIdle && this.isUsable && this.ends.areLate(certPem, isReplaced)
  }

  /**
   * Proves to the other agent that our renewed certificate is ours, and makes it prove its own, so that the flows of
   * this session outlive the certificates that it began with. Rejects, and changes nothing, when either is not proved.
   */
  async prove(credentials: TlsCredentials, verifier: ProxyDeps['verifier'], signal: AbortSignal): Promise<void> {
    await this.ends.prove(credentials, verifier, signal)
  }

  get isIdle(): boolean {
    return this.#places.taken === 0 && this.#resume?.isIdle !== false
  }

  /** Time since which it has no flows, by the monotonic clock; infinite while it has some. */
  get idleSinceMs(): number {
    return this.isIdle ? this.#places.idleSinceMs : Number.POSITIVE_INFINITY
  }

  /** Calls back once it has closed, for any reason. */
  onClose(callback: () => void): void {
    if (this.#dialled.session.destroyed) callback()
    else this.#dialled.session.once('close', callback)
  }

  /** Asks for a flow. Resolves with this side's end of it once the other agent has granted it; rejects with its error. */
  async open(request: FlowRequest, signal: AbortSignal): Promise<StreamEnd | RecordsEnd | CapsulesEnd> {
    if (request.protocol === 'tcp') this.#resume?.begin()
    const onPooledConnection =
      request.protocol === 'tcp' ? await this.#openOnPooledConnection(request, signal) : undefined
    if (onPooledConnection !== undefined) return onPooledConnection
    requireSupport(this.#dialled.session, request)
    const { flowId, protocol } = request
    let { multipath } = request
    const stream = await this.#asks.ask(connectHeaders(request), signal, request.room, headers => {
      if (asksForTwoPaths(headers)) multipath = true
    })
    this.#name(stream, flowId)
    if (protocol === 'tcp') return this.#streamEnd(stream)
    const packets = this.#dialled.session.destroyed ? undefined : this.#packets.channel
    return { kind: 'capsules', stream, packets, multipath: multipath === true }
  }

  /**
   * Asks to continue a flow that has lost its path, and returns what carries it from now on, with what the other end has
   * received. Rejects with its error; with a FlowOver if the flow has ended there.
   */
  async resume(request: ResumeRequest, signal: AbortSignal): Promise<{ far: StreamEnd; position: number }> {
    if (this.#resume === undefined) {
      throw new WarrenError(ErrorCode.Unsupported, `the agent of ${this.destination.machine} does not resume flows`)
    }
    this.#resume.begin()
    let position = 0
    const stream = await this.#asks.ask(resumeHeaders(request), signal, request.room, headers => {
      if (headers[':status'] === 200 || headers[HEADER.resume] !== undefined) position = positionIn(headers)
    })
    this.#name(stream, request.flowId)
    return { far: this.#streamEnd(stream), position }
  }

  /** Makes the other agent perform all checks of `open`, up to the target, without opening a flow. */
  async preflight(request: FlowRequest, signal: AbortSignal): Promise<void> {
    const stream = await this.#asks.ask(preflightHeaders(request), signal)
    // Without an end the request would stay open, and the session busy, for ever.
    stream.end()
    stream.resume()
  }

  carries(flowId: string): boolean {
    return this.#flowIds.has(flowId)
  }

  /** Closes fast-path connections that have been idle for long. Must be called every few seconds. */
  sweep(): void {
    this.#fastPath?.sweep()
  }

  /** Accepts no more flows and closes when the last one ends. */
  retire(): void {
    this.#isRetired = true
    this.#closeIfSpent()
  }

  /** Same as `destroy`, once the resets of its flows have left. */
  end(): void {
    this.#fastPath?.releaseIdle()
    this.#resume?.close()
    endSession(this.#dialled.session, () => this.destroy())
  }

  destroy(): void {
    this.#options.liveness.unwatch(this.#watched)
    const { session, socket } = this.#dialled
    session.destroy(undefined, codeOf('link'))
    socket.destroy()
  }

  #name(stream: ClientHttp2Stream, flowId: string): void {
    this.#flowIds.add(flowId)
    stream.once('close', () => this.#flowIds.delete(flowId))
  }

  #streamEnd(stream: ClientHttp2Stream): StreamEnd {
    const link = this.#resume?.linkOf({ id: stream.id ?? 0, number: 0 })
    return { kind: 'stream', stream, upgradePath: this.#fastPath?.upgradePathFor(stream), link }
  }

  // It must not close before the last flow has ended: a session after GOAWAY accepts no more requests, and so no proof.
  #closeIfSpent(): void {
    if (!this.#isRetired || !this.isIdle || !this.isUsable) return
    this.#fastPath?.releaseIdle()
    this.#resume?.close()
    this.#dialled.session.close()
  }

  /** Undefined if there is no fast-path connection for it: then it needs a stream. */
  async #openOnPooledConnection(request: FlowRequest, signal: AbortSignal): Promise<RecordsEnd | undefined> {
    // Where memory is scarce a stream needs less of it.
    if (request.room?.isScarce === true) return undefined
    const idle = this.#fastPath?.take()
    if (idle === undefined) {
      this.#fastPath?.missed()
      return undefined
    }
    const { flowId } = request
    const { pooled: connection } = idle
    try {
      this.#places.take()
    } catch (err) {
      connection.onSessionClosed()
      throw err
    }
    this.#flowIds.add(flowId)
    let isOurs = true
    const onFree = (): void => {
      isOurs = false
      this.#flowIds.delete(flowId)
      this.#places.give()
      this.#closeIfSpent()
    }
    // Who resumes a flow counts and keeps all of its bytes, from the first one on.
    const isTaken = this.#resume === undefined && this.#fastPath?.takesFirstBytes(idle) === true
    const first = isTaken ? request.first?.send(MAX_FIRST_BYTES) : undefined
    const answer = connection.ask(pooledOpen(request), onFree, first)
    try {
      await this.#asks.waiting(answer.reject, () => raceAbort(answer.promise, signal))
      const link = this.#resume?.linkOf({ id: connection.id, number: connection.number })
      return { kind: 'records', connection, thresholds: this.#options.upgradeThresholds, link }
    } catch (err) {
      // The other agent drops a flow that it may have granted.
      if (err instanceof PooledConnectionLost && !signal.aborted) {
        if (first === undefined) return undefined
        // The workload may have acted on the first bytes.
        throw new WarrenError(ErrorCode.FlowCut, err.cut?.text ?? 'the link to the other agent was lost')
      }
      // After a refusal another flow may be on it by now, unless it is lost.
      if (isOurs || connection.connection.isClosed) connection.abort('link')
      throw err
    }
  }

  // The path may be dead: another one is better for flows that wait for an answer. Open flows may still continue.
  #onSilent(): void {
    this.#options.onSilent()
    this.#asks.reject(new WarrenError(ErrorCode.DestinationUnreachable, 'its agent does not answer'))
  }
}
