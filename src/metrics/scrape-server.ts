import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { bindSocket } from '../api/index.ts'
import type { MetricsListen } from '../config/index.ts'
import {
  ErrorCode,
  formatHostPort,
  isLoopback,
  type Logger,
  listenFault,
  networkOf,
  RateLimitedLog,
  systemCode,
  type UnprovenPlace,
  UnprovenQuota,
  WarrenError
} from '../core/index.ts'
import type { TextFormat } from './prom-metrics.ts'

/**
 * A scraper needs one connection. Beyond these the idlest makes room: whoever may connect could otherwise hold all places, and the
 * scraper be away when it matters.
 */
const CONNECTIONS = { total: 64, perNetwork: 32 } as const
/** Lines about connections that made room. */
const LINES = { all: { burst: 1, perSecond: 1 / 60 } } as const
/** A request is one line and a few headers. */
const MAX_HEADER_BYTES = 8_192
const REQUEST_TIMEOUT_MS = 5_000
/** The network of those who come through a unix socket. */
const LOCAL = 'unix'
/** Between two scrapes of one connection: Prometheus scrapes each minute by default, or more often. */
const IDLE_MS = 65_000
/**
 * Age up to which a text is sent again. Whoever may connect could otherwise have the agent collect all the time, at the cost of
 * its flows. Prometheus takes no interval shorter than a second to be sensible.
 */
const FRESH_MS = 500
/** Members of the group may connect, as for the sockets of endpoints nobody else. */
const SOCKET_MODE = 0o660
const SOCKET_HINT =
  'Choose a path for --metrics-listen in a directory that only root and the user of the agent can write, and where nothing is.'

const OPENMETRICS = 'application/openmetrics-text'
const CONTENT_TYPES: Readonly<Record<TextFormat, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: `${OPENMETRICS}; version=1.0.0; charset=utf-8`
}

export interface ScrapeServerOptions {
  readonly listen: MetricsListen
  readonly text: (format: TextFormat) => Promise<string>
  /** State of the agent, as `warren status` shows it; it serves when that is `ready`. */
  readonly state: () => string
  readonly nowMs: () => number
  /** After this long without a byte a connection is closed. @default 65_000 */
  readonly idleMs?: number
  readonly log: Logger
}

interface Fresh {
  readonly atMs: number
  readonly text: Promise<string>
}

/**
 * Serves `/metrics`, `/healthz` and `/readyz` over HTTP, to anybody who can connect.
 *
 * `/healthz` answers 200 as long as the process works; `/readyz` answers 200 when the agent serves, and else 503 with its state.
 */
export class ScrapeServer {
  readonly #options: ScrapeServerOptions
  readonly #server: Server
  readonly #fresh = new Map<TextFormat, Fresh>()
  readonly #quota: UnprovenQuota
  readonly #places = new Map<Socket, UnprovenPlace>()
  #unbind: (() => void) | undefined

  constructor(options: ScrapeServerOptions) {
    this.#options = options
    this.#server = createServer(
      {
        maxHeaderSize: MAX_HEADER_BYTES,
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: IDLE_MS,
        connectionsCheckingInterval: REQUEST_TIMEOUT_MS
      },
      (request, response) => this.#answer(request, response)
    )
    const lines = new RateLimitedLog(options.log, { monotonicMs: options.nowMs }, LINES)
    this.#quota = new UnprovenQuota({ ...CONNECTIONS, silentMs: REQUEST_TIMEOUT_MS }, (_bound, remote) =>
      lines.warn(remote, 'too many connections for metrics: the idlest is closed', { remote })
    )
    this.#server.on('connection', socket => this.#enter(socket))
    // A reader that stands still would keep its place for ever.
    this.#server.timeout = options.idleMs ?? IDLE_MS
    // A scraper that stops in the middle is not the agent's failure.
    this.#server.on('clientError', (_err, socket) => socket.destroy())
  }

  /** Resolves to where it listens. Throws PORT_IN_USE, INVALID_OPTION, ALREADY_EXISTS or STATE_UNUSABLE, which say what to do. */
  async start(): Promise<string> {
    const { listen, log } = this.#options
    if ('path' in listen) {
      this.#unbind = await bindSocket(this.#server, listen.path, SOCKET_MODE).catch(cause => {
        const { code, reason } = WarrenError.from(cause)
        const what = reason.replace('the runtime directory', 'the directory')
        throw new WarrenError(code, `cannot listen for metrics at unix:${listen.path}: ${what}`, {
          cause,
          hint: SOCKET_HINT
        })
      })
      return `unix:${listen.path}`
    }
    await listening(this.#server, listen)
    const { address, port } = this.#server.address() as AddressInfo
    if (!isLoopback(address)) {
      log.warn('everybody who reaches this port may read the metrics', {
        address: formatHostPort({ host: address, port })
      })
    }
    return formatHostPort({ host: address, port })
  }

  async stop(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
    this.#unbind?.()
  }

  #enter(socket: Socket): void {
    const place = this.#quota.enter(networkOf(socket.remoteAddress ?? LOCAL), () => socket.destroy())
    if (!this.#places.has(socket)) socket.once('close', () => this.#leave(socket))
    this.#places.set(socket, place)
  }

  #leave(socket: Socket): void {
    this.#places.get(socket)?.release()
    this.#places.delete(socket)
  }

  // The idlest is the one whose last request is the oldest.
  #heard(socket: Socket): void {
    this.#places.get(socket)?.release()
    this.#enter(socket)
    this.#places.get(socket)?.heard()
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.#heard(request.socket)
    const path = (request.url ?? '').split('?', 1)[0]
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD')
      plain(response, 405, 'only GET and HEAD')
    } else if (path === '/metrics') {
      void this.#metrics(request, response)
    } else if (path === '/healthz') {
      plain(response, 200, 'ok')
    } else if (path === '/readyz') {
      const state = this.#options.state()
      plain(response, state === 'ready' ? 200 : 503, state)
    } else {
      plain(response, 404, 'there are /metrics, /healthz and /readyz')
    }
  }

  async #metrics(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const format = (request.headers.accept ?? '').includes(OPENMETRICS) ? 'openmetrics' : 'prometheus'
    try {
      const text = await this.#text(format)
      response.writeHead(200, headers(CONTENT_TYPES[format], text)).end(text)
    } catch (err) {
      this.#options.log.error('the metrics cannot be collected', { err })
      plain(response, 500, 'the metrics cannot be collected; the log of the agent says why')
    }
  }

  // One collection for all who ask at the same time.
  #text(format: TextFormat): Promise<string> {
    const now = this.#options.nowMs()
    const known = this.#fresh.get(format)
    if (known !== undefined && now - known.atMs < FRESH_MS) return known.text
    const text = this.#options.text(format)
    this.#fresh.set(format, { atMs: now, text })
    return text
  }
}

async function listening(server: Server, at: { readonly host: string; readonly port: number }): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ ...at, exclusive: true }, () => {
        server.removeListener('error', reject)
        resolve()
      })
    })
  } catch (cause) {
    const code = systemCode(cause)
    const { why, hint } = listenFault(at, code)
    const kind = code === 'EADDRINUSE' ? ErrorCode.PortInUse : ErrorCode.InvalidOption
    const what = `cannot listen for metrics at ${formatHostPort(at)}: ${why}`
    throw new WarrenError(kind, what, { cause, hint: `${hint} The option is --metrics-listen.` })
  }
}

function plain(response: ServerResponse, status: number, text: string): void {
  const body = `${text}\n`
  response.writeHead(status, headers('text/plain; charset=utf-8', body)).end(body)
}

function headers(type: string, body: string): Record<string, string | number> {
  return {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff'
  }
}
