import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SecureContext, TLSSocket } from 'node:tls'
import {
  ErrorCode,
  LruMap,
  type Metrics,
  RateLimitedLog,
  silentMetrics,
  WarrenError,
  within
} from '../../core/index.ts'
import { JOIN_ALPN, type PeerKey, RENEW_ALPN } from '../../identity/index.ts'
import { DIRECT_PATH, type Path } from '../carriers/index.ts'
import type { ProvenWorkload } from '../deps.ts'
import { FIRST_BYTE, LaneDoor } from '../fastpath/index.ts'
import { HandshakeGate } from '../handshake-limiter.ts'
import type { BrokerLimits } from '../limits.ts'
import { STRANGER_LINES } from '../stranger-lines.ts'
import { JOIN_TIMEOUT_MS } from '../timing.ts'
import type { ContextCache } from '../tls/index.ts'
import { H2_ALPN, isSni, shownBy } from '../tls/index.ts'
import { firstByte } from './first-byte.ts'
import { type InboundContext, InboundSession } from './inbound-session.ts'
import { endOf, TlsFront } from './tls-acceptor.ts'

/** Kinds of carriers, one for each relaying machine. Beyond it the one unused for longest is made anew. */
const MAX_FRONTS = 64

/**
 * The data port, for direct connections and for streams of the mesh alike.
 *
 * Without a certificate that `judge` accepts nothing is answered, except two exchanges under ALPNs of their own: joining, and the renewal of a
 * host whose certificate has ended.
 */
export class DataServer {
  readonly #tcp: Server
  readonly #context: InboundContext
  readonly #contexts: ContextCache
  readonly #limits: BrokerLimits
  readonly #metrics: Metrics
  readonly #gate: HandshakeGate
  readonly #door: LaneDoor
  readonly #fronts = new LruMap<string, TlsFront>(MAX_FRONTS)
  readonly #strangers: RateLimitedLog
  readonly #sessions = new Set<InboundSession>()
  readonly #perMachine = new Map<string, number>()
  // Each has places of its own, so that strangers who join do not keep members from returning.
  readonly #visitors = new Map([JOIN_ALPN, RENEW_ALPN].map(alpn => [alpn, new Set<TLSSocket>()]))

  constructor(context: InboundContext, contexts: ContextCache, limits: BrokerLimits) {
    this.#context = context
    this.#contexts = contexts
    this.#limits = limits
    this.#metrics = context.deps.metrics ?? silentMetrics
    this.#gate = new HandshakeGate(limits, this.#metrics)
    this.#door = new LaneDoor(this.#gate, this.#metrics)
    this.#strangers = new RateLimitedLog(context.deps.log, context.deps.clock, STRANGER_LINES)
    this.#tcp = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 })
    this.#tcp.on('connection', socket => this.#accept(socket))
  }

  get sessions(): readonly InboundSession[] {
    return [...this.#sessions]
  }

  /** Binds the data port. Rejects with PORT_IN_USE, or INVALID_OPTION for an address that cannot be bound. */
  async listen({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#tcp.once('error', reject)
    this.#tcp.listen({ host, port }, resolve)
    try {
      await promise
    } catch (cause) {
      const inUse = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE'
      throw new WarrenError(inUse ? ErrorCode.PortInUse : ErrorCode.InvalidOption, `cannot listen at ${host}:${port}`, {
        cause,
        hint: 'Choose another address with --data-listen.'
      })
    }
    this.#tcp.off('error', reject)
    await this.#context.packets.bind(this.address())
    // Accepting can fail, for lack of descriptors; the listener survives that.
    this.#tcp.on('error', err => this.#context.deps.log.warn('data port failed to accept', { err }))
  }

  address(): { host: string; port: number } {
    const bound = this.#tcp.address()
    if (bound === null || typeof bound === 'string') {
      throw new WarrenError(ErrorCode.NotReady, 'the data port is not bound')
    }
    return { host: bound.address, port: bound.port }
  }

  /** Serves a stream that came over `path` as if it were a connection to the data port. `peer` is who opened it to us. */
  acceptCarrier(stream: Duplex, peer: PeerKey, path: Path): void {
    if (this.#context.stopping.aborted) stream.destroy()
    else this.#front(path).accept(stream, peer, '')
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#tcp.close(() => resolve()))
    this.#gate.stop()
    this.#context.packets.close()
    for (const sockets of this.#visitors.values()) for (const socket of sockets) socket.destroy()
    for (const session of this.sessions) session.destroy()
    await closed
  }

  #accept(socket: Socket): void {
    const remote = socket.remoteAddress ?? ''
    firstByte(socket, remote, this.#gate, byte => {
      if (byte === FIRST_BYTE) this.#door.enter(socket, remote)
      else this.#front(DIRECT_PATH).accept(socket, remote, endOf(socket))
    })
  }

  // A TLS socket does not tell which stream is below it, so each kind of carrier has a front of its own.
  #front(path: Path): TlsFront {
    const front = this.#fronts.get(path.name) ?? this.#makeFront(path)
    this.#fronts.set(path.name, front)
    return front
  }

  #makeFront(path: Path): TlsFront {
    const { deps } = this.#context
    return new TlsFront({
      gate: this.#gate,
      choose: name => this.#choose(name),
      defaults: () => ({ credentials: deps.joinCredentials(), roots: deps.roots() }),
      onSecure: (socket, remote) => this.#secured(socket, path, remote),
      onFailure: (err, remote) => {
        this.#metrics.count('warren_handshakes_total', { role: 'server', result: 'failed' })
        this.#strangers.warn(remote, 'handshake at the data port failed', { remote, reason: err.message })
      }
    })
  }

  async #choose(name: string): Promise<SecureContext | undefined> {
    // A joiner may send the host name that it connects to.
    const registrationId = isSni(name) ? this.#context.deps.local.byPrefix(name) : undefined
    return registrationId === undefined ? undefined : (await this.#contexts.get(registrationId)).context
  }

  #secured(socket: TLSSocket, path: Path, remote: string): void {
    const alpn = socket.alpnProtocol === false || socket.alpnProtocol === null ? '' : socket.alpnProtocol
    const visitors = this.#visitors.get(alpn)
    if (visitors !== undefined && path.allows.strangers) {
      this.#serveVisitor(socket, alpn, visitors, remote).catch(() => {})
      return
    }
    const proven = socket.alpnProtocol === H2_ALPN ? this.#prove(socket) : 'no known protocol'
    if (typeof proven === 'string') {
      this.#metrics.count('warren_handshakes_total', { role: 'server', result: 'refused' })
      this.#strangers.warn(remote, 'stranger refused at the data port', { remote, reason: proven })
      socket.destroy()
      return
    }
    this.#serve(socket, proven.identity, proven.leafDer, path)
  }

  #prove(socket: TLSSocket): { identity: ProvenWorkload; leafDer: Uint8Array } | string {
    const shown = shownBy(socket)
    if (shown === undefined) return 'no client certificate'
    const { leafDer, issuersDer } = shown
    // Before what TLS thinks of the chain: it says "unable to verify" of most that it refuses, and our judge says why.
    const verdict = this.#context.deps.judge.workload(leafDer, issuersDer)
    if (!verdict.ok) return `certificate refused: ${verdict.detail}`
    if (!socket.authorized) return `certificate chain refused: ${String(socket.authorizationError)}`
    return { identity: verdict.identity, leafDer }
  }

  #serve(socket: TLSSocket, identity: ProvenWorkload, leafDer: Uint8Array, path: Path): void {
    const { machine } = identity
    const ofMachine = this.#perMachine.get(machine) ?? 0
    if (!this.#hasRoom(machine, ofMachine)) {
      socket.destroy()
      return
    }
    this.#metrics.count('warren_handshakes_total', { role: 'server', result: 'ok' })
    const session = new InboundSession(socket, identity, leafDer, path, this.#context, this.#door)
    this.#sessions.add(session)
    this.#perMachine.set(machine, ofMachine + 1)
    session.onClose(() => {
      this.#sessions.delete(session)
      const left = (this.#perMachine.get(machine) ?? 1) - 1
      if (left > 0) this.#perMachine.set(machine, left)
      else this.#perMachine.delete(machine)
    })
  }

  #hasRoom(machine: string, ofMachine: number): boolean {
    const { sessions, sessionsPerMachine } = this.#limits
    if (this.#sessions.size >= sessions) {
      this.#metrics.hit('broker_sessions', { machine, limit: sessions })
      return false
    }
    if (ofMachine < sessionsPerMachine) return true
    this.#metrics.hit('broker_sessions_per_machine', { machine, limit: sessionsPerMachine })
    return false
  }

  async #serveVisitor(socket: TLSSocket, alpn: string, visitors: Set<TLSSocket>, remote: string): Promise<void> {
    const { deps, stopping } = this.#context
    const what = alpn === JOIN_ALPN ? 'join' : 'renewal'
    if (visitors.size >= this.#limits.joins) {
      this.#metrics.hit(alpn === JOIN_ALPN ? 'broker_joins' : 'broker_renewals', { remote, limit: this.#limits.joins })
      socket.destroy()
      return
    }
    visitors.add(socket)
    try {
      await within(JOIN_TIMEOUT_MS, [stopping], signal => {
        signal.addEventListener('abort', () => socket.destroy(), { once: true })
        return alpn === JOIN_ALPN ? deps.join(socket, signal) : deps.renew(socket, signal)
      })
    } catch (err) {
      this.#strangers.warn(remote, `${what} exchange failed`, { remote, reason: WarrenError.from(err).reason })
    } finally {
      visitors.delete(socket)
      // What was answered must still leave; a joiner that does not close is cut by its time-out.
      if (socket.writableEnded) socket.destroySoon()
      else socket.destroy()
    }
  }
}
