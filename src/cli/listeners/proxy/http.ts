import { createServer, type IncomingMessage, request, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { MeshSocket } from '../../../client/index.ts'
import { ErrorCode, WarrenError } from '../../../core/index.ts'
import { carriedFields } from './hop.ts'
import { hostOf } from './names.ts'
import { helpPage, type Page, pacPage, refusalPage } from './page.ts'

export interface HttpProxyOptions {
  /** Opens a connection for a client to the name that it says, until `signal` aborts. */
  readonly open: (name: string, signal: AbortSignal) => Promise<MeshSocket>
  /** The checks that belong to a refusal, as text; undefined if there are none. Rejects for a name that is none. */
  readonly explain: (err: unknown, name: string, signal: AbortSignal) => Promise<string | undefined>
  /** Where the proxy listens, as a person would type it. */
  readonly bound: () => string
  /** Time for the head of a request to come, from the connection or the answer before it, in milliseconds. */
  readonly headMs: number
  /** Called for each request that failed. */
  readonly onFailure: (err: unknown) => void
}

const MAX_HEAD_BYTES = 16 * 1024
const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n'
const WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])
const ABSOLUTE = /^http:\/\/([^/?#]*)([/?][^#]*)?/i

/** A connection of a client while HTTP is spoken on it. */
interface Client {
  /** Its tunnel, or undefined at its end without one. */
  readonly served: PromiseWithResolvers<MeshSocket | undefined>
  readonly gone: AbortSignal
  exchanges: number
  timer: NodeJS.Timeout | undefined
}

/** The HTTP side of the proxy: CONNECT, and requests that name an absolute URI. Node's own parser reads them. */
export class HttpProxy {
  readonly #options: HttpProxyOptions
  readonly #server: Server
  readonly #clients = new WeakMap<Duplex, Client>()

  constructor(options: HttpProxyOptions) {
    this.#options = options
    // The server listens nowhere, so its own timers do not run: `headMs` is counted here.
    const limits = { maxHeaderSize: MAX_HEAD_BYTES, keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0 }
    this.#server = createServer(limits, (incoming, answer) => this.#onRequest(incoming, answer))
    this.#server.on('connect', (incoming, socket, head) => this.#onConnect(incoming, socket, head))
    this.#server.on('clientError', (err, socket) => this.#onMalformed(err, socket))
  }

  /** Serves a client, of which nothing has been read yet; returns its tunnel if it asks for one. Rejects if that fails. */
  async serve(socket: Socket, gone: AbortSignal): Promise<MeshSocket | undefined> {
    const client: Client = { served: Promise.withResolvers(), gone, exchanges: 0, timer: undefined }
    this.#clients.set(socket, client)
    socket.once('close', () => {
      clearTimeout(client.timer)
      client.served.resolve(undefined)
    })
    this.#awaitHead(socket, client)
    this.#server.emit('connection', socket)
    return await client.served.promise
  }

  #awaitHead(socket: Duplex, client: Client): void {
    clearTimeout(client.timer)
    client.timer = setTimeout(() => socket.destroy(), this.#options.headMs)
  }

  #onMalformed(err: NodeJS.ErrnoException, socket: Duplex): void {
    // In the middle of an answer another one would be taken for its continuation.
    if (!socket.writable || (this.#clients.get(socket)?.exchanges ?? 0) > 0) {
      socket.destroy()
      return
    }
    const status = err.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
    socket.once('finish', () => socket.destroy())
  }

  #onConnect(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
    const client = this.#clients.get(socket)
    if (client === undefined || client.exchanges > 0) {
      socket.destroy()
      return
    }
    clearTimeout(client.timer)
    if (head.length > 0) socket.unshift(head)
    this.#tunnel(incoming, socket, client.gone).then(client.served.resolve, client.served.reject)
  }

  async #tunnel(incoming: IncomingMessage, socket: Duplex, gone: AbortSignal): Promise<MeshSocket> {
    const host = hostOf(incoming.url ?? '')
    try {
      const brokered = await this.#options.open(host, gone)
      socket.write(ESTABLISHED)
      return brokered
    } catch (err) {
      const { status, headers, body } = await this.#refusal(err, host, wantsHtml(incoming), gone)
      const fields = Object.entries({ ...headers, Connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${fields.join('')}\r\n${body}`)
      throw err
    }
  }

  #onRequest(incoming: IncomingMessage, answer: ServerResponse): void {
    const client = this.#clients.get(incoming.socket)
    if (client === undefined) {
      incoming.socket.destroy()
      return
    }
    clearTimeout(client.timer)
    client.exchanges += 1
    const gone = new AbortController()
    answer.once('close', () => {
      gone.abort(new DOMException('the local client went away', 'AbortError'))
      client.exchanges -= 1
      if (client.exchanges === 0 && !incoming.socket.destroyed) this.#awaitHead(incoming.socket, client)
    })
    this.#answer(incoming, answer, gone.signal).catch((err: unknown) => {
      incoming.socket.destroy()
      if (!gone.signal.aborted) this.#options.onFailure(err)
    })
  }

  async #answer(incoming: IncomingMessage, answer: ServerResponse, gone: AbortSignal): Promise<void> {
    const { bound, onFailure, open } = this.#options
    const { url = '' } = incoming
    if (url.startsWith('/')) {
      const page = url === '/proxy.pac' && !bound().startsWith('unix:') ? pacPage(bound()) : undefined
      send(answer, page ?? helpPage(bound(), wantsHtml(incoming)))
      return
    }
    const [, authority = '', path = ''] = ABSOLUTE.exec(url) ?? []
    let brokered: MeshSocket
    try {
      if (authority === '' || authority.includes('@')) throw unusable(url)
      brokered = await open(hostOf(authority), gone)
    } catch (err) {
      if (gone.aborted) return
      onFailure(err)
      send(answer, await this.#refusal(err, hostOf(authority), wantsHtml(incoming), gone))
      return
    }
    // HTTP has no half-open connections, and Node's client would leave this one open.
    brokered.allowHalfOpen = false
    // Node's client has its own handler only as long as the request lasts.
    brokered.on('error', () => {})
    try {
      await carry(incoming, answer, brokered, authority, path.startsWith('/') ? path : `/${path}`)
      brokered.destroySoon()
    } catch (err) {
      brokered.destroy()
      if (gone.aborted || answer.headersSent) throw err
      const cut = WarrenError.from(err, ErrorCode.StreamTruncated)
      onFailure(cut)
      send(answer, refusalPage(cut, undefined, wantsHtml(incoming)))
    }
  }

  async #refusal(err: unknown, host: string, isHtml: boolean, gone: AbortSignal): Promise<Page> {
    let checks: string | undefined
    try {
      checks = await this.#options.explain(err, host, gone)
    } catch {
      // It is no name of the mesh, and the error says so.
    }
    return refusalPage(err, checks, isHtml)
  }
}

/** Sends one request on a connection of its own, and its answer back. Resolves once the client has all of it. */
async function carry(
  incoming: IncomingMessage,
  answer: ServerResponse,
  brokered: MeshSocket,
  authority: string,
  path: string
): Promise<void> {
  const headers = carriedFields(incoming.rawHeaders, ['host', 'expect'])
  headers.push('Host', authority, 'Connection', 'close')
  const { method = 'GET' } = incoming
  if (incoming.headers['transfer-encoding'] !== undefined) headers.push('Transfer-Encoding', 'chunked')
  // Else Node would announce a body where there is none.
  else if (incoming.headers['content-length'] === undefined && WITH_BODY.has(method))
    headers.push('Content-Length', '0')
  const outgoing = request({ method, path, headers, setDefaultHeaders: false, createConnection: () => brokered })
  const answered = Promise.withResolvers<IncomingMessage>()
  outgoing.once('response', answered.resolve)
  outgoing.on('error', answered.reject)
  const giveUp = (): void => void outgoing.destroy()
  answer.once('close', giveUp)
  // A server may answer before it has read everything; what it then says about the rest decides nothing.
  pipeline(incoming, outgoing).catch(answered.reject)
  const response = await answered.promise
  answer.off('close', giveUp)
  answer.sendDate = false
  answer.writeHead(response.statusCode ?? 502, response.statusMessage, carriedFields(response.rawHeaders))
  await pipeline(response, answer)
}

function send(answer: ServerResponse, { status, headers, body }: Page): void {
  // The rest of a request that is refused would have to be read to reach the next one.
  answer.writeHead(status, { ...headers, Connection: 'close' })
  answer.end(body)
}

function wantsHtml({ headers }: IncomingMessage): boolean {
  return headers.accept?.includes('text/html') === true
}

function unusable(url: string): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, `"${url.slice(0, 80)}" is no http:// URL that a proxy can follow`, {
    hint: 'For https:// a program uses CONNECT; user and password belong into a header.'
  })
}
