import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { refusalPage } from './page.ts'

/** The port at which a program speaks HTTP: https://www.rfc-editor.org/rfc/rfc9110#section-4.2.1 */
export const HTTP_PORT = 80

export interface RefusedOptions {
  /** Called with each failure, before the client is answered. */
  readonly onFailure: (err: unknown) => void
  /** Time for the head of a request to come, in milliseconds. @default 10_000 */
  readonly headMs?: number
}

/** A refusal, and the checks that belong to it; undefined if there are none for this client. Never rejects. */
export interface Refusal {
  readonly err: unknown
  readonly checks: (signal: AbortSignal) => Promise<string | undefined>
}

const HEAD_MS = 10_000
const MAX_HEAD_BYTES = 16 * 1024

/** Tells programs that speak HTTP why their connection is refused, where its protocol has no words for that. Node's own parser reads them. */
export class RefusedHttp {
  readonly #onFailure: (err: unknown) => void
  readonly #headMs: number
  readonly #server: Server
  readonly #refusals = new WeakMap<Duplex, Refusal & { readonly gone: AbortSignal }>()

  constructor({ onFailure, headMs = HEAD_MS }: RefusedOptions) {
    this.#onFailure = onFailure
    this.#headMs = headMs
    // The server listens nowhere, so its own timers do not run.
    const limits = { maxHeaderSize: MAX_HEAD_BYTES, keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0 }
    this.#server = createServer(limits, (incoming, answer) => void this.#answer(incoming, answer))
    // Whoever speaks another protocol sees its connection break, as without this.
    this.#server.on('clientError', (_err, socket) => socket.destroy())
    for (const event of ['connect', 'upgrade'] as const) {
      this.#server.on(event, (_incoming, socket: Duplex) => void socket.destroy())
    }
  }

  /**
   * Answers the first request of a client with the refusal, and ends the connection. Any other client is cut off at its first bytes, or
   * after some seconds of silence. Resolves at the end; never rejects.
   */
  async answer(client: Socket, refusal: Refusal, gone: AbortSignal): Promise<void> {
    if (client.destroyed || gone.aborted) return
    this.#onFailure(refusal.err)
    const closed = Promise.withResolvers<void>()
    const timer = setTimeout(() => client.destroy(), this.#headMs)
    client.once('close', closed.resolve)
    this.#refusals.set(client, { ...refusal, gone })
    this.#server.emit('connection', client)
    await closed.promise
    clearTimeout(timer)
  }

  /**
   * As `open`, for a client at a port of its own. If that fails at the port of HTTP, the client is answered, and this resolves with
   * undefined at its end.
   */
  async orAnswer<T>(
    client: Socket,
    open: () => Promise<T>,
    checks: (err: unknown, signal: AbortSignal) => Promise<string | undefined>,
    gone: AbortSignal
  ): Promise<T | undefined> {
    try {
      return await open()
    } catch (err) {
      if (client.localPort !== HTTP_PORT || gone.aborted) throw err
      await this.answer(client, { err, checks: signal => checks(err, signal) }, gone)
      return undefined
    }
  }

  async #answer(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const refusal = this.#refusals.get(incoming.socket)
    // One answer is all there is: the connection ends with it.
    if (refusal === undefined) return
    this.#refusals.delete(incoming.socket)
    const { err, gone } = refusal
    const checks = await refusal.checks(gone).catch(() => undefined)
    const page = refusalPage(err, checks, incoming.headers.accept?.includes('text/html') === true)
    answer.writeHead(page.status, { ...page.headers, Connection: 'close' })
    answer.end(page.body)
  }
}
