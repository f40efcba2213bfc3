import { createHash } from 'node:crypto'
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse
} from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import {
  ErrorCode,
  listenFault,
  systemCode,
  TokenBuckets,
  type UnprovenPlace,
  UnprovenQuota,
  WarrenError
} from '../core/index.ts'
import { readJson, textOf } from './body.ts'
import { cookieOf, KEY_HEADER, SECURITY_HEADERS, setCookie, whyRefused } from './guard.ts'
import type { Routes } from './routes.ts'
import { SESSION_MS, type Session, Sessions } from './sessions.ts'
import type { FailureView, SessionView, Versioned } from './shapes.ts'
import type { WebFile } from './web-files.ts'

const HOST = '127.0.0.1'
const MAX_HEADER_BYTES = 8 * 1024
const REQUEST_TIMEOUT_MS = 10_000
const IDLE_MS = 65_000
/** Every user of the host can connect; beyond these the idlest makes room. */
const CONNECTIONS = { total: 64, perNetwork: 64, silentMs: 5_000 } as const
/** Of one session: a page asks twice in a second at most, and once more for each click. */
const QUESTIONS = { burst: 60, perSecond: 15, maxKeys: 16 } as const
/** Questions of one session that the agent has not answered yet. */
const MAX_AT_ONCE = 8

export interface ConsoleServerOptions {
  readonly routes: Routes
  readonly files: ReadonlyMap<string, WebFile>
  readonly nowMs: () => number
  /** Called when a browser has opened a link. */
  readonly onOpened?: (() => void) | undefined
}

/** A request that is refused with this status. */
class Refusal extends Error {
  override name = 'Refusal'
  readonly status: number
  constructor(status: number, reason: string) {
    super(reason)
    this.status = status
  }
}

/**
 * Serves the pages of the console on 127.0.0.1, and data to those browsers alone that have opened a link of this process.
 *
 * Files of the pages are the same for everybody and say nothing of the mesh. Data needs a session: its cookie, and its key in
 * a header.
 */
export class ConsoleServer {
  readonly #options: ConsoleServerOptions
  readonly #server: Server
  readonly #sessions = new Sessions()
  readonly #questions = new TokenBuckets<string>(QUESTIONS)
  readonly #atOnce = new Map<Session, number>()
  readonly #quota = new UnprovenQuota(CONNECTIONS, () => {})
  readonly #places = new WeakMap<Socket, UnprovenPlace>()
  #port = 0

  constructor(options: ConsoleServerOptions) {
    this.#options = options
    this.#server = createServer(
      {
        maxHeaderSize: MAX_HEADER_BYTES,
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: IDLE_MS,
        connectionsCheckingInterval: REQUEST_TIMEOUT_MS
      },
      (request, response) => void this.#answer(request, response)
    )
    this.#server.on('connection', socket => this.#enter(socket))
  }

  /** Resolves to the port. Throws PORT_IN_USE or INVALID_OPTION. */
  async start(port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen({ host: HOST, port }, resolve)
    }).catch((cause: unknown) => {
      const { why, hint } = listenFault({ host: HOST, port }, systemCode(cause))
      const code = systemCode(cause) === 'EADDRINUSE' ? ErrorCode.PortInUse : ErrorCode.InvalidOption
      throw new WarrenError(code, `cannot listen at ${HOST}:${port}: ${why}`, {
        cause,
        hint: `${hint} The option is --port.`
      })
    })
    this.#port = (this.#server.address() as AddressInfo).port
    return this.#port
  }

  /** An address that opens a session once. The secret stands behind "#", which browsers send nowhere. */
  link(): string {
    return `http://${HOST}:${this.#port}/#${this.#sessions.createLink(this.#options.nowMs())}`
  }

  async stop(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve))
    this.#quota.stop()
    this.#server.closeAllConnections()
    await closed
  }

  #enter(socket: Socket): void {
    const place = this.#quota.enter(HOST, () => socket.destroy())
    this.#places.set(socket, place)
    socket.once('close', () => place.release())
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#places.get(request.socket)?.heard()
    try {
      await this.#serve(request, response)
    } catch (err) {
      if (response.headersSent) response.destroy()
      else send(response, err instanceof Refusal ? err.status : statusOf(err), failureView(err))
    }
    // What is left of a body that was refused is not read.
    if (!request.complete) response.once('finish', () => request.destroy())
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', headers, rawHeaders } = request
    // Only the path and the query count: the origin is that of the header, and was compared.
    const url = URL.canParse(request.url ?? '', 'http://console.invalid')
      ? new URL(request.url ?? '', 'http://console.invalid')
      : undefined
    if (url === undefined || url.origin !== 'http://console.invalid') throw new Refusal(400, 'the address is malformed')
    const isApi = url.pathname.startsWith('/api/')
    const why = whyRefused({ method, isApi, headers, rawHeaders }, this.#port)
    if (why !== undefined) throw new Refusal(403, why)
    if (!isApi) return this.#sendFile(url.pathname, method, response)
    if (method !== 'GET' && method !== 'POST') throw new Refusal(405, 'only GET and POST are answered')
    if (method === 'POST' && url.pathname === '/api/session') return await this.#open(request, response)
    await this.#sendData(request, url, response)
  }

  #sendFile(path: string, method: string, response: ServerResponse): void {
    if (method !== 'GET' && method !== 'HEAD') throw new Refusal(405, 'a page can only be read')
    // A name of the table, and never a path of a file system.
    const file = this.#options.files.get(path)
    if (file === undefined) throw new Refusal(404, 'there is no such page')
    response.writeHead(200, { ...SECURITY_HEADERS, 'content-type': file.type }).end(method === 'HEAD' ? '' : file.body)
  }

  async #open(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readJson(request, this.#signalOf(response))
    const session = this.#sessions.open(textOf(body, 'link'), this.#options.nowMs())
    if (session === undefined) throw new Refusal(403, 'this link was used already, or is too old')
    const view: SessionView = { key: session.key }
    send(response, 200, view, { 'set-cookie': setCookie(this.#port, session.cookie, SESSION_MS) })
    this.#options.onOpened?.()
  }

  async #sendData(request: IncomingMessage, url: URL, response: ServerResponse): Promise<void> {
    const session = this.#sessionOf(request)
    if (session === undefined) throw new Refusal(401, 'there is no session')
    this.#places.get(request.socket)?.release()
    if (request.method === 'POST' && url.pathname === '/api/end') {
      this.#sessions.end(session)
      return send(response, 200, {}, { 'set-cookie': setCookie(this.#port, '', 0) })
    }
    const answer = this.#options.routes.get(`${request.method} ${url.pathname}`)
    if (answer === undefined) throw new Refusal(404, 'there is no such question')
    const value = await this.#within(session, async () => {
      const signal = this.#signalOf(response)
      const body = request.method === 'POST' ? await readJson(request, signal) : {}
      return await answer({ query: url.searchParams, body, signal })
    })
    if (request.method === 'POST') return send(response, 200, value)
    const text = JSON.stringify(value)
    const version = createHash('sha256').update(text).digest('base64url')
    const isKnown = url.searchParams.get('known') === version
    const versioned: Versioned<unknown> = isKnown ? { version } : { version, value }
    send(response, 200, versioned)
  }

  /** Aborts when the browser does not wait for the answer any more, and when the console stops, which closes all connections. */
  #signalOf(response: ServerResponse): AbortSignal {
    const gone = new AbortController()
    response.once('close', () => gone.abort(new DOMException('nobody waits for the answer', 'AbortError')))
    return gone.signal
  }

  #sessionOf({ headers }: IncomingMessage): Session | undefined {
    const key = headers[KEY_HEADER]
    if (typeof key !== 'string') return undefined
    return this.#sessions.find(cookieOf(headers.cookie, this.#port), key, this.#options.nowMs())
  }

  /** Bounds what one session asks. */
  async #within<T>(session: Session, ask: () => Promise<T>): Promise<T> {
    const running = this.#atOnce.get(session) ?? 0
    if (running >= MAX_AT_ONCE || !this.#questions.take(session.cookie, performance.now())) {
      throw new Refusal(429, 'this page asks too much at once')
    }
    this.#atOnce.set(session, running + 1)
    try {
      return await ask()
    } finally {
      const left = (this.#atOnce.get(session) ?? 1) - 1
      if (left > 0) this.#atOnce.set(session, left)
      else this.#atOnce.delete(session)
    }
  }
}

function send(response: ServerResponse, status: number, value: unknown, headers: OutgoingHttpHeaders = {}): void {
  response
    .writeHead(status, { ...SECURITY_HEADERS, 'content-type': 'application/json; charset=utf-8', ...headers })
    .end(JSON.stringify(value))
}

function failureView(err: unknown): FailureView {
  if (err instanceof Refusal) return { error: { code: '', reason: err.message, hint: '' } }
  const { code, reason, hint = '' } = WarrenError.from(err)
  return { error: { code, reason, hint } }
}

function statusOf(err: unknown): number {
  switch (WarrenError.from(err).code) {
    case ErrorCode.InvalidArgument:
    case ErrorCode.InvalidOption:
      return 400
    case ErrorCode.PermissionDenied:
    case ErrorCode.NotAdmin:
      return 403
    case ErrorCode.NotFound:
      return 409
    case ErrorCode.MessageTooLarge:
      return 413
    default:
      return 502
  }
}
