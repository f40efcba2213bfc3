import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SecureContext, TLSSocket } from 'node:tls'
import {
  ErrorCode,
  formatHostPort,
  type HostPort,
  LruMap,
  listenFault,
  type Metrics,
  RateLimitedLog,
  silentMetrics,
  systemCode,
  takeListener,
  UNAUTHENTICATED_LINES,
  type UnprovenPlace,
  WarrenError
} from '../../core/index.ts'
import { JOIN_ALPN, type PeerKey, RENEW_ALPN } from '../../identity/index.ts'
import type { MadeConnection } from '../begun.ts'
import { DATA_PORT_PATH, MESH_PORT_PATH, type Path } from '../carriers/index.ts'
import type { ProvenWorkload } from '../deps.ts'
import { FastPathAcceptor, FIRST_BYTE } from '../fastpath/index.ts'
import { HandshakeLimiter } from '../handshake-limiter.ts'
import type { ProxyLimits } from '../limits.ts'
import { type ContextCache, HOST_ALPN, isSessionAlpn, isSni, peerChainOf } from '../tls/index.ts'
import { firstByte } from './first-byte.ts'
import type { InboundContext } from './inbound-context.ts'
import { InboundSession } from './inbound-session.ts'
import { networkOfEnd, TlsAcceptor } from './tls-acceptor.ts'
import { UnauthenticatedExchanges } from './unauthenticated-exchanges.ts'

/**
 * Maximum of acceptors, one for each relaying machine. Beyond it the least recently used one is made again when needed.
 */
const MAX_ACCEPTORS = 64
const KEEP_ALIVE_MS = 15_000
/** How the names of what is left to the next process begin. */
const LISTENER = 'data port '

/**
 * Takes connections that are no sessions, by their first byte, which has not been consumed. Each has the place of a peer that has
 * not proved itself.
 */
export type Openings = Readonly<Record<number, { readonly accept: (socket: Socket, place: UnprovenPlace) => void }>>

/**
 * The data port, for direct connections and for streams of the mesh alike.
 *
 * A peer without a certificate that `verify` accepts gets no answer, except under ALPNs of their own: joining, the renewal of a
 * host whose certificate has ended, and which host this is.
 */
export class DataServer {
  readonly #tcp: Server
  readonly #context: InboundContext
  readonly #contexts: ContextCache
  readonly #openings: Openings
  readonly #limits: ProxyLimits
  readonly #metrics: Metrics
  readonly #limiter: HandshakeLimiter
  readonly #fastPathAcceptor: FastPathAcceptor
  readonly #tlsAcceptors = new LruMap<string, TlsAcceptor>(MAX_ACCEPTORS)
  readonly #unauthenticated: RateLimitedLog
  readonly #sessions = new Set<InboundSession>()
  readonly #perMachine = new Map<string, number>()
  // Each kind has its own limit, so that unknown hosts that join do not keep members from returning.
  readonly #unauthenticatedExchanges: ReadonlyMap<string, UnauthenticatedExchanges>

  constructor(context: InboundContext, contexts: ContextCache, limits: ProxyLimits, openings: Openings) {
    this.#context = context
    this.#openings = openings
    this.#contexts = contexts
    this.#limits = limits
    this.#metrics = context.deps.metrics ?? silentMetrics
    this.#limiter = new HandshakeLimiter(limits, this.#metrics)
    this.#fastPathAcceptor = new FastPathAcceptor(this.#metrics)
    this.#unauthenticated = new RateLimitedLog(context.deps.log, context.deps.clock, UNAUTHENTICATED_LINES)
    const { deps, stopping } = context
    const exchanges = { limits, metrics: this.#metrics, log: this.#unauthenticated, stopping }
    this.#unauthenticatedExchanges = new Map([
      [
        JOIN_ALPN,
        new UnauthenticatedExchanges({
          what: 'join',
          serve: deps.join,
          limitNames: ['proxy_joins', 'proxy_joins_per_host'],
          ...exchanges
        })
      ],
      [
        RENEW_ALPN,
        new UnauthenticatedExchanges({
          what: 'renewal',
          serve: deps.renew,
          limitNames: ['proxy_renewals', 'proxy_renewals_per_host'],
          ...exchanges
        })
      ]
    ])
    this.#tcp = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS })
    this.#tcp.on('connection', socket => this.#accept(socket))
  }

  get sessions(): readonly InboundSession[] {
    return [...this.#sessions]
  }

  /** Binds the data port. Rejects with PORT_IN_USE, or INVALID_OPTION for an address that cannot be bound. */
  async listen({ host, port }: HostPort): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#tcp.once('error', reject)
    const { handover } = this.#context.deps
    // With another address in its configuration, the next process binds that, which may have the same port.
    const name = `${LISTENER}${formatHostPort({ host, port })}`
    handover?.spendOverlapping(name, { host, port })
    const fd = takeListener(handover, name)
    this.#tcp.listen(fd === undefined ? { host, port } : { fd }, resolve)
    handover?.leaveListener(name, this.#tcp)
    try {
      await promise
    } catch (cause) {
      const code = systemCode(cause)
      const { why, hint } = listenFault({ host, port }, code)
      const kind = code === 'EADDRINUSE' ? ErrorCode.PortInUse : ErrorCode.InvalidOption
      throw new WarrenError(kind, `the data port cannot listen at ${formatHostPort({ host, port })}: ${why}`, {
        cause,
        hint: `${hint} The option is --data-listen.`
      })
    }
    this.#tcp.off('error', reject)
    await this.#context.packets.bind(this.address())
    // The listener survives failures to accept, as for lack of descriptors.
    this.#tcp.on('error', err => this.#context.deps.log.warn('data port failed to accept', { err }))
  }

  address(): HostPort {
    const bound = this.#tcp.address()
    if (bound === null || typeof bound === 'string') {
      throw new WarrenError(ErrorCode.NotReady, 'the data port is not bound')
    }
    return { host: bound.address, port: bound.port }
  }

  /** Serves a stream that came over `path` like a connection to the data port. `peer` is the agent that opened it. */
  acceptCarrier(stream: Duplex, peer: PeerKey, path: Path): void {
    if (this.#context.stopping.aborted || !this.#limiter.enterMember(stream, peer)) stream.destroy()
    else this.#acceptor(path).accept(stream)
  }

  /** Serves a connection that this agent made because another asked for it. */
  serveMade({ socket, firstByte: byte, place, peer }: MadeConnection, path: Path): void {
    if (byte === FIRST_BYTE) this.#fastPathAcceptor.enter(socket, place, path.name)
    else {
      this.acceptCarrier(socket, peer, path)
      place.release()
    }
  }

  /** Serves a connection that came to the port of the mesh. Its first byte has not been consumed. */
  acceptAtMeshPort(socket: Socket, byte: number): void {
    if (this.#context.stopping.aborted || !this.#tcp.listening) {
      socket.destroy()
      return
    }
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    const place = this.#limiter.enter(socket)
    place.heard()
    this.#begin(socket, byte, place, MESH_PORT_PATH)
  }

  /** The other agents open their next flows in new sessions. */
  turnAway(): void {
    for (const session of this.sessions) session.turnAway()
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#tcp.close(() => resolve()))
    this.#limiter.stop()
    this.#context.packets.close()
    for (const exchanges of this.#unauthenticatedExchanges.values()) exchanges.stop()
    for (const session of this.sessions) session.destroy()
    await closed
  }

  #accept(socket: Socket): void {
    firstByte(socket, this.#limiter, (byte, place) => this.#begin(socket, byte, place, DATA_PORT_PATH))
  }

  #begin(socket: Socket, byte: number, place: UnprovenPlace, path: Path): void {
    const opening = this.#openings[byte]
    if (byte === FIRST_BYTE) this.#fastPathAcceptor.enter(socket, place, path.name)
    else if (opening !== undefined) opening.accept(socket, place)
    else this.#acceptor(path).acceptTcp(socket, place.release)
  }

  // A TLS socket does not show which stream is below it, so each path has an acceptor of its own.
  #acceptor(path: Path): TlsAcceptor {
    // A relay passes on streams or connections, which allow different things.
    const key = `${path.name} ${path.allows.fastPath}`
    const acceptor = this.#tlsAcceptors.get(key) ?? this.#makeAcceptor(path)
    this.#tlsAcceptors.set(key, acceptor)
    return acceptor
  }

  #makeAcceptor(path: Path): TlsAcceptor {
    const { deps } = this.#context
    return new TlsAcceptor({
      choose: name => this.#choose(name),
      defaults: () => ({ credentials: deps.joinCredentials(), roots: deps.roots() }),
      onSecure: (socket, remote) => this.#secured(socket, path, remote),
      onFailure: (err, remote) => {
        this.#metrics.count('warren_handshakes_total', { role: 'server', result: 'failed' })
        this.#unauthenticated.warn(networkOfEnd(remote), 'handshake at the data port failed', {
          remote,
          reason: err.message
        })
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
    const unauthenticatedExchanges = this.#unauthenticatedExchanges.get(alpn)
    if (unauthenticatedExchanges !== undefined && path.allows.unauthenticated) {
      void unauthenticatedExchanges.serve(socket, remote)
      return
    }
    if (alpn === HOST_ALPN && path.allows.identification) {
      // The handshake was the answer.
      socket.destroySoon()
      return
    }
    const proven = isSessionAlpn(socket.alpnProtocol) ? this.#prove(socket) : 'no known protocol'
    if (typeof proven === 'string') {
      this.#metrics.count('warren_handshakes_total', { role: 'server', result: 'refused' })
      this.#unauthenticated.warn(networkOfEnd(remote), 'unauthenticated peer refused at the data port', {
        remote,
        reason: proven
      })
      socket.destroy()
      return
    }
    this.#serve(socket, proven.identity, proven.leafDer, path)
  }

  #prove(socket: TLSSocket): { identity: ProvenWorkload; leafDer: Uint8Array } | string {
    const peerChain = peerChainOf(socket)
    if (peerChain === undefined) return 'no client certificate'
    const { leafDer, issuersDer } = peerChain
    // Our verdict comes before that of TLS: TLS reports "unable to verify" for most refusals, and our verdict has the
    // reason.
    const verdict = this.#context.deps.verifier.workload(leafDer, issuersDer)
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
    const session = new InboundSession(socket, identity, leafDer, path, this.#context, this.#fastPathAcceptor)
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
      this.#metrics.hit('proxy_sessions', { machine, limit: sessions })
      return false
    }
    if (ofMachine < sessionsPerMachine) return true
    this.#metrics.hit('proxy_sessions_per_machine', { machine, limit: sessionsPerMachine })
    return false
  }
}
