import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream
} from 'node:http2'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { silentMetrics } from '../../../src/core/index.ts'
import type { Exporter } from '../../../src/proxy/aead/index.ts'
import { dialFastPath } from '../../../src/proxy/fastpath/dial-fastpath.ts'
import { FastPathAcceptor } from '../../../src/proxy/fastpath/fastpath-acceptor.ts'
import { FastPathCuts } from '../../../src/proxy/fastpath/fastpath-cuts.ts'
import { PooledConnection } from '../../../src/proxy/fastpath/pooled-connection.ts'
import type { RecordConnection } from '../../../src/proxy/fastpath/record-connection.ts'
import { HandshakeLimiter } from '../../../src/proxy/handshake-limiter.ts'
import { joiningLeg, pooledLeg } from '../../../src/proxy/legs/record-leg.ts'
import { reuseReads, socketLeg } from '../../../src/proxy/legs/socket-leg.ts'
import { streamLeg } from '../../../src/proxy/legs/stream-leg.ts'
import { resolveLimits } from '../../../src/proxy/limits.ts'
import { clientOptions, SESSION_WINDOW_BYTES, serverOptions } from '../../../src/proxy/tls/http2-options.ts'
import { contextOptions } from '../../../src/proxy/tls/tls-options.ts'
import { SESSION_ALPNS } from '../../../src/proxy/tls/versions.ts'
import { type Scope, waitFor } from '../../harness/index.ts'
import type { LegPair } from './leg-compliance.ts'
import { agentCredentials, TestPki } from './pki.ts'

/** Which end of a connection is the near one: that which opened it, or the other. */
export type NearEnd = 'opener' | 'other'

async function listen(scope: Scope, server: Server, at: string | { host: string; port: number }): Promise<Server> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})))
  scope.defer(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  if (typeof at === 'string') server.listen(at)
  else server.listen(at)
  await once(server, 'listening')
  return server
}

function portOf(server: Server): number {
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('not bound')
  return bound.port
}

function ordered<T>(nearEnd: NearEnd, opener: T, other: T): { near: T; far: T } {
  return nearEnd === 'opener' ? { near: opener, far: other } : { near: other, far: opener }
}

/** Two connected sockets of this process. */
export async function sockets(scope: Scope, kind: 'unix' | 'tcp'): Promise<readonly [Socket, Socket]> {
  const where = kind === 'unix' ? join(scope.directory(), 's') : { host: '127.0.0.1', port: 0 }
  const server = await listen(scope, createServer({ allowHalfOpen: true, pauseOnConnect: true }), where)
  const accepted = once(server, 'connection')
  const opener = connect({
    ...(typeof where === 'string' ? { path: where } : { host: '127.0.0.1', port: portOf(server) }),
    allowHalfOpen: true
  })
  opener.on('error', () => {})
  scope.defer(() => opener.destroy())
  await once(opener, 'connect')
  opener.pause()
  const [other] = (await accepted) as [Socket]
  return [opener, other]
}

export async function socketPair(scope: Scope, kind: 'unix' | 'tcp', isReused = false): Promise<LegPair> {
  const [opener, other] = await sockets(scope, kind)
  const [near, far] = [socketLeg(opener), socketLeg(other)]
  return {
    near,
    far,
    begin: () => {
      if (!isReused) return
      reuseReads(near, opener, { copies: true })
      reuseReads(far, other, { copies: true })
    },
    lose: async () => {
      // Unread bytes make a reset of a unix socket's end as well.
      near.send(Buffer.from('unread'))
      await waitFor(() => near.waitingBytes === 0, 'the bytes to leave')
      far.pause()
      far.abort('link')
    }
  }
}

interface Session {
  readonly client: ClientHttp2Session
  readonly server: ServerHttp2Session
  readonly clientSocket: TLSSocket
  readonly serverSocket: TLSSocket
  readonly transport: Socket
}

/** A session of HTTP/2 over mutual TLS, with the proxy's own options. */
export async function session(scope: Scope): Promise<Session> {
  const pki = await TestPki.create()
  const credentials = await agentCredentials(await pki.node('m'))
  const context = { ...contextOptions(credentials, [pki.rootPem]), ALPNProtocols: [...SESSION_ALPNS] }
  const tls = createTlsServer({ ...context, requestCert: true, rejectUnauthorized: true })
  const listening = await listen(scope, tls, { host: '127.0.0.1', port: 0 })
  const accepted = once(tls, 'secureConnection')
  const transport = connect({ host: '127.0.0.1', port: portOf(listening), noDelay: true })
  transport.on('error', () => {})
  scope.defer(() => transport.destroy())
  const clientSocket = connectTls({ ...context, socket: transport, checkServerIdentity: () => undefined })
  clientSocket.on('error', () => {})
  const [serverSocket] = (await accepted) as [TLSSocket]
  serverSocket.on('error', () => {})
  const server = performServerHandshake(serverSocket, serverOptions(100))
  const client = connectHttp2('https://m', { ...clientOptions(), createConnection: () => clientSocket })
  for (const one of [client, server]) one.on('error', () => {})
  scope.defer(() => {
    client.destroy()
    server.destroy()
  })
  await once(client, 'remoteSettings')
  for (const one of [client, server]) one.setLocalWindowSize(SESSION_WINDOW_BYTES)
  return { client, server, clientSocket, serverSocket, transport }
}

/** A stream of a session, at both ends. */
export async function streams({
  client,
  server
}: Pick<Session, 'client' | 'server'>): Promise<readonly [ClientHttp2Stream, ServerHttp2Stream]> {
  const asked = once(server, 'stream')
  const opener = client.request({ ':method': 'CONNECT', ':authority': 'x' })
  opener.on('error', () => {})
  const [other] = (await asked) as [ServerHttp2Stream]
  other.on('error', () => {})
  other.respond({ ':status': 200 })
  await once(opener, 'response')
  return [opener, other]
}

export async function streamPair(scope: Scope, nearEnd: NearEnd): Promise<LegPair> {
  const made = await session(scope)
  const [opener, other] = await streams(made)
  return {
    ...ordered(nearEnd, streamLeg(opener), streamLeg(other)),
    lose: async () => void made.transport.destroy()
  }
}

const exporterOf =
  (socket: TLSSocket): Exporter =>
  (...args) =>
    socket.exportKeyingMaterial(...args)

/** A record connection beside a session, at both ends. An even number makes it one for flows that are asked for on it. */
export async function records(
  scope: Scope,
  { clientSocket, serverSocket }: Session,
  streamId: number
): Promise<{ readonly opener: RecordConnection; readonly other: RecordConnection; readonly lose: () => void }> {
  const acceptor = new FastPathAcceptor(silentMetrics)
  const limiter = new HandshakeLimiter(resolveLimits())
  const taken = Promise.withResolvers<RecordConnection>()
  scope.defer(acceptor.open({ version: 1, exporter: exporterOf(serverSocket), takerOf: () => taken.resolve }))
  const carried = new Set<Socket>()
  const inner = createServer({ allowHalfOpen: true, pauseOnConnect: true }, socket =>
    acceptor.enter(socket, limiter.enter(socket), 'direct')
  )
  const doorPort = portOf(await listen(scope, inner, { host: '127.0.0.1', port: 0 }))
  // Somebody in between, who can break it without a word.
  const between = createServer({ allowHalfOpen: true, noDelay: true }, near => {
    const far = connect({ host: '127.0.0.1', port: doorPort, allowHalfOpen: true, noDelay: true })
    for (const socket of [near, far]) carried.add(socket.on('error', () => {}))
    near.pipe(far)
    far.pipe(near)
    scope.defer(() => far.destroy())
  })
  const port = portOf(await listen(scope, between, { host: '127.0.0.1', port: 0 }))
  const exporter = exporterOf(clientSocket)
  const opener = await dialFastPath(
    { exporter, streamId, version: 1, to: { host: '127.0.0.1', port } },
    AbortSignal.timeout(10_000)
  )
  const other = await taken.promise
  scope.defer(() => {
    opener.destroy()
    other.destroy()
  })
  return {
    opener,
    other,
    lose: () => {
      for (const socket of carried) socket.destroy()
    }
  }
}

export async function joiningPair(scope: Scope, nearEnd: NearEnd): Promise<LegPair> {
  const { opener, other, lose } = await records(scope, await session(scope), 1)
  const { near, far } = ordered(nearEnd, opener, other)
  const legs = { near: joiningLeg(near), far: joiningLeg(far) }
  return {
    ...legs,
    begin: () => {
      legs.near.start(0)
      legs.far.start(0)
    },
    lose: async () => {
      lose()
      await waitFor(() => near.isClosed, 'the loss')
    }
  }
}

export async function pooledPair(scope: Scope, nearEnd: NearEnd): Promise<LegPair> {
  const made = await session(scope)
  const { opener, other, lose } = await records(scope, made, 2)
  const [openerStream, otherStream] = await streams(made)
  const pooled = new Map<string, PooledConnection>()
  const cuts = (end: string, stream: ClientHttp2Stream | ServerHttp2Stream): FastPathCuts =>
    new FastPathCuts(stream, (_id, number, code) => pooled.get(end)?.cutBy(number, code))
  const openerCuts = cuts('opener', openerStream)
  const otherCuts = cuts('other', otherStream)
  const asking = new PooledConnection(opener, 2, openerCuts)
  const answering = new PooledConnection(other, 2, otherCuts)
  pooled.set('opener', asking).set('other', answering)
  for (const one of [asking, answering]) {
    const events = { onIdle: () => one.onReleased(), closed: () => {} }
    const asked = (): void => {
      answering.begin(() => {})
      answering.grant()
    }
    one.connection.whenIdle(one === answering ? { ...events, asked } : events, () => one.onClosed(() => {}))
  }
  await asking.ask({ registrationId: 'r', destination: 'd', flowId: 'f' }, () => {}).promise
  const { near, far } = ordered(nearEnd, asking, answering)
  const farCuts = nearEnd === 'opener' ? otherCuts : openerCuts
  return {
    near: pooledLeg(near),
    far: pooledLeg(far),
    lose: async () => {
      lose()
      await waitFor(() => near.connection.isClosed, 'the loss')
    },
    say: kind => farCuts.send({ connectionId: 2, number: 1, kind })
  }
}
