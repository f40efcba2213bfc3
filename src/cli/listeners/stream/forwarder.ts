import { createServer, type Server, type Socket } from 'node:net'
import { loadResetOnClose, type ResetOnClose, raceAbort } from '../../../core/index.ts'
import type { ListenerSockets } from '../../../listeners/index.ts'
import { relaySockets } from './relay.ts'

/** Clients at once; the system refuses the rest, for each costs two descriptors. */
const MAX_CLIENTS = 4_096

export interface StreamForwarderOptions {
  /**
   * Opens the connection of one client. `signal` aborts when the client goes away.
   *
   * It may first read from the client, and write to it, with `readExactly` of src/wire; what it leaves unread is carried. If it
   * rejects, the client is reset, unless it has ended the client's socket with an answer. Undefined: the client has been served.
   */
  readonly open: (client: Socket, signal: AbortSignal) => Promise<Socket | undefined>
  /**
   * How long a client may be silent until the system asks whether it is still there, in milliseconds; a client that answers none of
   * ten questions, one a second, is reset. 0: never. Has no effect on a unix socket.
   */
  readonly keepAliveMs: number
  /** Called for each client that could not be connected, or whose connection was cut. */
  readonly onFailure: (err: unknown) => void
}

/** A local listener whose clients are each joined to a connection of the mesh, or of the agent. */
export class StreamForwarder {
  readonly #options: StreamForwarderOptions
  readonly #clients = new Set<Socket>()
  readonly #serving = new Set<Promise<void>>()
  #servers: Server[] = []
  #remove = (): void => {}
  #resetOnClose: ResetOnClose | undefined

  constructor(options: StreamForwarderOptions) {
    this.#options = options
  }

  /** Listens, and returns where, as a person would type it; `localhost` is both families. Rejects as the sockets do. */
  async listen(sockets: ListenerSockets): Promise<string> {
    // Where there is no native code, only the end of this process itself is not a reset.
    this.#resetOnClose ??= await loadResetOnClose().catch(() => undefined)
    const { bound, remove } = await sockets.streams(() => this.#makeServer())
    this.#remove = remove
    return bound
  }

  /** Takes no more clients, until it listens again, and frees the port or path. Those that it has stay connected. */
  pause(): void {
    this.#remove()
    for (const server of this.#servers) server.close()
    this.#servers = []
  }

  /** Takes no more clients, and resolves once those that it has are served to their end, or `signal` aborts. */
  async settle(signal: AbortSignal): Promise<void> {
    // Who connected a moment ago is accepted in this turn of the event loop.
    await new Promise(resolve => setImmediate(resolve))
    this.pause()
    await raceAbort(Promise.all(this.#serving), signal).catch(() => {})
  }

  #makeServer(): Server {
    const { keepAliveMs } = this.#options
    // The second of two small pieces from a server must not wait for the client's acknowledgement of the first.
    const keepAlive = { keepAlive: keepAliveMs > 0, keepAliveInitialDelay: keepAliveMs }
    const server = createServer({ allowHalfOpen: true, noDelay: true, ...keepAlive }, client => this.#accept(client))
    server.maxConnections = MAX_CLIENTS
    this.#servers.push(server)
    return server
  }

  /** Resets every client and frees the port or path. */
  close(): void {
    this.pause()
    this.reset()
  }

  /** Resets every client of this moment, and goes on listening. */
  reset(): void {
    for (const client of this.#clients) this.#abort(client)
  }

  #accept(client: Socket): void {
    if (this.#clients.size >= MAX_CLIENTS) {
      client.destroy()
      return
    }
    this.#clients.add(client)
    client.once('close', () => this.#clients.delete(client))
    this.#resetOnClose?.(client, true)
    // All has been sent to it, and the end.
    client.once('finish', () => this.#resetOnClose?.(client, false))
    const serving = this.#serve(client)
      .catch((err: unknown) => this.#options.onFailure(err))
      .finally(() => this.#serving.delete(serving))
    this.#serving.add(serving)
  }

  async #serve(client: Socket): Promise<void> {
    let brokered: Socket | undefined
    try {
      brokered = await this.#open(client)
    } catch (err) {
      const gone = client.destroyed
      if (client.writableEnded) client.destroySoon()
      else this.#abort(client)
      // A client that did not wait has not been failed.
      if (gone) return
      throw err
    }
    if (brokered !== undefined) await relaySockets(client, brokered, local => this.#abort(local))
  }

  /** Opens, but only for as long as the client is there to be connected. */
  async #open(client: Socket): Promise<Socket | undefined> {
    const gone = new AbortController()
    const giveUp = (): void => gone.abort(new DOMException('the local client went away', 'AbortError'))
    client.on('error', giveUp).once('close', giveUp)
    try {
      return await this.#options.open(client, gone.signal)
    } finally {
      client.off('close', giveUp)
    }
  }

  /** Ends a connection so that its client sees an error. A unix socket has no reset: its client notices when it writes. */
  #abort(client: Socket): void {
    this.#resetOnClose?.(client, true)
    if (this.#resetOnClose === undefined && client.localFamily !== undefined) client.resetAndDestroy()
    client.destroy()
  }
}
