import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { networkOf, type UnprovenPlace, UnprovenQuota } from '../../core/index.ts'
import { type Endpoint, listenAt } from '../../listeners/index.ts'
import type { Documents } from './documents.ts'
import type { Certificate } from './tls.ts'

export interface OidcServerOptions {
  /** The documents; undefined if they are not known now. Never rejects. */
  readonly documents: () => Promise<Documents | undefined>
  /** @default plain HTTP, for a server in front that ends TLS */
  readonly certificate?: Certificate | undefined
}

/** Everybody may connect. Beyond these the oldest makes room; a server in front comes from one network with all of its clients. */
const CONNECTIONS = { total: 512, perNetwork: 256, silentMs: 5_000 } as const
const MAX_HEADER_BYTES = 8_192
const REQUEST_TIMEOUT_MS = 5_000
const IDLE_MS = 30_000
/** The network of those who come through a unix socket. */
const LOCAL = 'unix'
/** A host announces a key a minute before it signs with it. */
const CACHED_S = 30

/** Serves the documents over HTTP, or over HTTPS with a certificate, to everybody who can connect. */
export class OidcServer {
  readonly #options: OidcServerOptions
  readonly #server: Server | TlsServer
  readonly #quota = new UnprovenQuota(CONNECTIONS, () => {})
  readonly #sockets = new Set<Socket>()
  readonly #places = new Map<unknown, UnprovenPlace>()
  #remove = (): void => {}

  constructor(options: OidcServerOptions) {
    this.#options = options
    const { certificate } = options
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      this.#places.get(keyOf(request.socket))?.heard()
      void this.#answer(request, response)
    }
    const bounds: ServerOptions = {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: IDLE_MS,
      connectionsCheckingInterval: REQUEST_TIMEOUT_MS
    }
    this.#server =
      certificate === undefined
        ? createServer(bounds, answer)
        : createTlsServer(
            { ...bounds, ...certificate, minVersion: 'TLSv1.2', handshakeTimeout: REQUEST_TIMEOUT_MS },
            answer
          )
    // Of TLS too: before the handshake.
    this.#server.on('connection', (socket: Socket) => this.#enter(socket))
    this.#server.timeout = IDLE_MS
    this.#server.on('clientError', (_err: unknown, socket: Socket) => socket.destroy())
    this.#server.on('tlsClientError', () => {})
  }

  /** Returns where it listens, as a person would type it. Rejects as `listenAt`. */
  async listen(endpoint: Endpoint): Promise<string> {
    const { bound, remove } = await listenAt(this.#server, endpoint)
    this.#remove = remove
    return bound
  }

  /** Uses another certificate for connections from now on. Throws for one that does not fit its key. */
  replace(certificate: Certificate): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext({ ...certificate, minVersion: 'TLSv1.2' })
  }

  close(): void {
    this.#remove()
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #enter(socket: Socket): void {
    const place = this.#quota.enter(networkOf(socket.remoteAddress ?? LOCAL), () => socket.destroy())
    const key = keyOf(socket)
    this.#sockets.add(socket)
    this.#places.set(key, place)
    socket.once('close', () => {
      place.release()
      this.#sockets.delete(socket)
      this.#places.delete(key)
    })
  }

  async #answer({ method, url = '' }: IncomingMessage, response: ServerResponse): Promise<void> {
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD')
      send(response, 405, 'text/plain', 'only GET and HEAD\n')
      return
    }
    const documents = await this.#options.documents()
    const text = documents?.get(url.split('?', 1)[0] ?? '')
    if (documents === undefined) send(response, 503, 'text/plain', 'the keys are not known now\n')
    else if (text === undefined) send(response, 404, 'text/plain', 'there is /.well-known/openid-configuration\n')
    else send(response, 200, 'application/json', text)
  }
}

/** The same for a connection and for the TLS on it, which Node does not lead from one to the other. */
function keyOf(socket: Socket): unknown {
  return socket.remotePort === undefined ? socket : `${socket.remoteAddress} ${socket.remotePort}`
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': status === 200 ? `public, max-age=${CACHED_S}` : 'no-store',
    'X-Content-Type-Options': 'nosniff'
  })
  response.end(body)
}
