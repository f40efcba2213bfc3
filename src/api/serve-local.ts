import { existsSync } from 'node:fs'
import { createServer as createHttp1Server } from 'node:http'
import { createServer as createHttp2Server, type Http2Session, type ServerHttp2Session } from 'node:http2'
import { createServer, type Socket } from 'node:net'
import { accountOf, type PeerCredentials } from '../attest/index.ts'
import {
  type Clock,
  definedOnly,
  ErrorCode,
  type Logger,
  type Metrics,
  type ProcessHandover,
  Quota,
  RateLimitedLog,
  silentMetrics,
  sleep,
  systemClock,
  takeListener,
  WarrenError
} from '../core/index.ts'
import { CallGate } from './call-gate.ts'
import { createCaller, type Identification } from './caller.ts'
import { Connection } from './connection.ts'
import { forNodesHttp2 } from './http2-authority/index.ts'
import { LOCAL_LIMITS, type LocalLimits } from './limits.ts'
import { OperatorReserve } from './operator-reserve.ts'
import { Places } from './places.ts'
import { createRequestListener, type Request, type Response } from './request-listener.ts'
import type { Routes, ServiceName } from './routes.ts'
import { Shares } from './share.ts'
import { sniff } from './sniff.ts'
import { adoptSocket, bindSocket } from './socket-path.ts'
import { tooMany } from './too-many.ts'

export interface LocalServerOptions {
  /** Path of the socket; its directory must exist and belong to us or root. */
  readonly path: string
  /** Permissions of the socket, whatever the umask. 0o666 or 0o600. */
  readonly mode: number
  /** Reads the caller's identity from the kernel. May throw: then the connection is closed before a byte is parsed. */
  readonly credentials: (socket: Socket) => PeerCredentials
  readonly routes: Routes
  /** Label under which calls are counted. */
  readonly service: ServiceName
  /** The uid that runs the agent: besides root, the one that has a reserve. @default that of this process */
  readonly agentUid?: number | undefined
  readonly log: Logger
  /** @default calls are not counted */
  readonly metrics?: Metrics
  /** Why this process may make no calls at all; undefined if it may. @default everybody may */
  readonly refuse?: ((who: PeerCredentials) => WarrenError | undefined) | undefined
  readonly limits?: Partial<LocalLimits> | undefined
  /** The process before this one, and the next. @default there is none */
  readonly handover?: ProcessHandover | undefined
  /** @default the system's */
  readonly clock?: Clock
}

export interface LocalServer {
  readonly path: string
  /** Connections open now. */
  connections(): number
  /**
   * Stops listening and removes the socket; calls under way fail with NOT_READY. Idempotent, never throws, and done
   * within two seconds.
   */
  close(): Promise<void>
}

/** A connection that may make calls, or gets the reason why not. */
interface Admitted {
  readonly identification: Identification
  readonly isReserved: boolean
  readonly release: () => void
}

/** Warnings of refused connections, ten a minute for each user: a user who connects again and again must not fill the log. */
const REFUSALS_PER_UID = { burst: 10, perSecond: 1 / 6, maxKeys: 256 }
/** Stands for a caller whose uid cannot be read. */
const NOBODY = ''
/** Refused connections that get an answer with the reason, and are not just closed; each lives 2 s at most. */
const MAX_REFUSALS = 64
const MAX_REFUSALS_PER_UID = 8
const REFUSAL_MS = 2_000
const DRAIN_MS = 1_000

/**
 * Serves calls on a unix socket, in HTTP/1.1 and in HTTP/2 without TLS, to callers whose identity the kernel gives.
 *
 * Throws ALREADY_EXISTS if another agent answers on `path`, STATE_UNUSABLE, INVALID_OPTION or PERMISSION_DENIED if it
 * cannot listen there.
 */
export async function serveLocal(options: LocalServerOptions): Promise<LocalServer> {
  const { path, mode, credentials, log, metrics = silentMetrics, refuse = () => undefined } = options
  const { routes, service, clock = systemClock, agentUid = process.getuid?.() } = options
  const limits: LocalLimits = Object.freeze({ ...LOCAL_LIMITS, ...definedOnly(options.limits ?? {}) })
  const stopping = new AbortController()
  const reserve = new OperatorReserve(agentUid)
  const shares = new Shares(limits, clock, metrics)
  const gate = new CallGate(limits, reserve)
  const { signal } = stopping
  const listener = createRequestListener({ routes, service, gate, limits, log, metrics, stopping: signal })
  const accepted = new Places(limits.maxConnectionsPerUid, limits.maxConnections)
  const refusals = new RateLimitedLog(log, clock, { perKey: REFUSALS_PER_UID })
  const refused = new Quota<string>(MAX_REFUSALS_PER_UID, MAX_REFUSALS)
  const connections = new Set<Connection>()
  const bySocket = new WeakMap<object, Connection>()
  const bySession = new WeakMap<Http2Session, Connection>()

  const onRequest = (request: Request, response: Response): void => {
    const connection =
      'stream' in request
        ? request.stream.session === undefined
          ? undefined
          : bySession.get(request.stream.session)
        : bySocket.get(request.socket)
    if (connection === undefined) {
      request.destroy()
      return
    }
    response.once('close', connection.begin())
    listener(request, response, connection)
  }

  const http1 = createHttp1Server(
    { maxHeaderSize: limits.maxHeaderBytes, keepAliveTimeout: limits.idleMs, requestTimeout: 0, headersTimeout: 0 },
    onRequest
  )
  const http2 = createHttp2Server(
    {
      maxSessionInvalidFrames: 10,
      maxSettings: 32,
      settings: { maxConcurrentStreams: limits.maxStreams, maxHeaderListSize: limits.maxHeaderBytes, enablePush: false }
    },
    onRequest
  )
  const speakHttp2 = (socket: Socket, connection: Connection, first: Buffer): void => {
    const onSession = (session: ServerHttp2Session): void => {
      bySession.set(session, connection)
      // Refuses further streams at once, and ends the socket after the last one.
      connection.onHangUp(() => session.close())
    }
    // HTTP/2 has its own half-close; a half-open socket below it would never be closed.
    socket.allowHalfOpen = false
    // The session is made within emit; so the one that this listener sees is that of this socket.
    http2.once('session', onSession)
    http2.emit('connection', forNodesHttp2(socket, first))
    http2.off('session', onSession)
  }
  const speakHttp1 = (socket: Socket, connection: Connection): void => {
    bySocket.set(socket, connection)
    connection.onHangUp(busy => {
      if (!busy) socket.destroySoon()
    })
    http1.emit('connection', socket)
  }

  const tooManyConnections = (uid: number): WarrenError => {
    const ofAll = accepted.size >= limits.maxConnections
    const limit = ofAll ? limits.maxConnections : limits.maxConnectionsPerUid
    metrics.hit(ofAll ? 'api_connections' : 'api_connections_per_uid', { path, uid, limit })
    return tooMany(ofAll ? 'connections of all users' : 'connections of this user', limit)
  }
  const admit = (who: PeerCredentials, gone: AbortSignal): Admitted | undefined => {
    const account = accountOf(who)
    const denied = refuse(who)
    const own = denied === undefined ? accepted.take(who) : undefined
    const isReserved = denied === undefined && own === undefined && reserve.isOperator(who) && reserve.makeRoom()
    if (own !== undefined || isReserved) {
      const caller = createCaller(who, gone, shares.of(who))
      return { identification: { ok: true, caller }, isReserved, release: own ?? (() => {}) }
    }
    who.process.close()
    const error = denied ?? tooManyConnections(who.uid)
    const { uid, pid } = who
    refusals.warn(account, 'local connection refused', { uid, pid, code: error.code, reason: error.reason })
    const told = refused.take(account)
    return told === undefined ? undefined : { identification: { ok: false, error }, isReserved, release: told }
  }

  const onConnection = (socket: Socket): void => {
    // A caller that resets its connection must not bring the agent down.
    socket.on('error', () => {})
    const gone = new AbortController()
    let admitted: ReturnType<typeof admit>
    try {
      admitted = admit(credentials(socket), gone.signal)
    } catch (err) {
      refusals.warn(NOBODY, 'local connection refused: no peer credentials', { path, err })
    }
    if (admitted === undefined) {
      socket.destroy()
      return
    }
    const { identification, isReserved, release } = admitted
    const connection = new Connection(socket, identification, limits, isReserved)
    if (isReserved) reserve.add(connection)
    const cut = identification.ok ? undefined : setTimeout(() => socket.destroy(), REFUSAL_MS)
    connections.add(connection)
    socket.once('close', () => {
      clearTimeout(cut)
      connections.delete(connection)
      reserve.delete(connection)
      release()
      gone.abort(new WarrenError(ErrorCode.StreamTruncated, 'the caller closed its connection'))
    })
    sniff(socket, (spoken, first) => {
      if (spoken === 'h2c') speakHttp2(socket, connection, first)
      else speakHttp1(socket, connection)
    })
  }

  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, onConnection)
  const { handover } = options
  // A service manager may have removed the directory: nobody would find it.
  const inherited = existsSync(path) ? takeListener(handover, path) : undefined
  const removePath = await (inherited === undefined
    ? bindSocket(server, path, mode)
    : adoptSocket(server, path, inherited))
  handover?.leaveListener(path, server)
  server.on('error', err => log.error('cannot accept local connections', { path, err }))

  const stop = async (): Promise<void> => {
    const closed = new Promise<void>(resolve => {
      server.close(() => resolve())
    })
    try {
      if (handover?.isFollowed !== true) removePath()
    } catch (err) {
      // A socket that nobody serves is replaced by the next agent.
      log.warn('local socket left behind', { path, err })
    }
    stopping.abort(new WarrenError(ErrorCode.NotReady, 'the agent is stopping'))
    for (const connection of connections) connection.close()
    const drained = new AbortController()
    const all = closed.finally(() => drained.abort())
    await sleep(DRAIN_MS, drained.signal).catch(() => {})
    for (const connection of connections) connection.destroy()
    await all
  }
  let stopped: Promise<void> | undefined
  return Object.freeze({
    path,
    connections: () => connections.size,
    close: () => {
      stopped ??= stop()
      return stopped
    }
  })
}
