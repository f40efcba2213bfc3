import { EventEmitter } from 'node:events'
import type { Server, Socket } from 'node:net'
import { type Logger, silentLogger } from '../core/index.ts'
import { bindOwn } from './bind-own.ts'
import { type Peer, readHello } from './peer.ts'
import { register } from './register.ts'
import type { RegisterOptions, Registration, RegistrationEnd } from './registration.ts'
import { surfaceTruncation } from './truncation.ts'

export interface ListenOptions extends Omit<RegisterOptions, 'target' | 'onLive'> {
  /** How long the agent may take to say who connects, in milliseconds. @default 10_000 */
  readonly helloTimeoutMs?: number | undefined
}

export type ConnectionListener = (socket: Socket, peer: Peer) => void

const HELLO_TIMEOUT_MS = 10_000

/** A registered address whose connections arrive here: the counterpart of a `net.Server`. */
export class MeshServer extends EventEmitter<{ connection: [Socket, Peer] }> implements AsyncDisposable {
  readonly #log: Logger
  readonly #helloTimeoutMs: number
  #registration: Registration | undefined
  #server: Server | undefined

  /** @internal `listen` makes them. */
  constructor(options: Pick<ListenOptions, 'helloTimeoutMs' | 'log'>) {
    super()
    this.#log = options.log ?? silentLogger
    this.#helloTimeoutMs = options.helloTimeoutMs ?? HELLO_TIMEOUT_MS
  }

  /** Five components: what others connect to. */
  get address(): string {
    return this.#registration?.address ?? ''
  }

  get spiffeId(): string {
    return this.#registration?.spiffeId ?? ''
  }

  /** The registration behind it. `listen` has resolved only once there is one. */
  get registration(): Registration | undefined {
    return this.#registration
  }

  /** Resolves when it accepts no more: closed, or its registration ended by the agent. Never rejects. */
  async closed(): Promise<RegistrationEnd> {
    return (await this.#registration?.closed) ?? { reason: 'closed' }
  }

  /** Deregisters, removes the socket and accepts no more; the agent ends what is still connected. Idempotent. */
  async close(): Promise<void> {
    await this.#registration?.close()
    this.#unbind()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** @internal */
  async start(address: string, options: ListenOptions): Promise<void> {
    const onLive = async (registration: Registration): Promise<void> => {
      // An agent that restarted may give the same path again: it must be free before it is bound.
      this.#unbind()
      this.#server = await bindOwn(registration.listenPath, socket => void this.#accept(socket))
    }
    const registration = await register(address, { ...options, target: { listen: { hello: true } }, onLive })
    this.#registration = registration
    registration.closed.then(
      () => this.#unbind(),
      () => {}
    )
  }

  #unbind(): void {
    this.#server?.close()
    this.#server = undefined
  }

  async #accept(socket: Socket): Promise<void> {
    // Until somebody has the socket, its failure has nobody else to go to.
    const ignore = (): void => {}
    socket.on('error', ignore)
    let peer: Peer
    try {
      peer = await readHello(socket, this.#helloTimeoutMs)
    } catch (err) {
      this.#log.debug('connection without a usable hello', { address: this.address, err })
      socket.destroy()
      return
    }
    surfaceTruncation(socket)
    // Not within this promise, where an exception of a listener would be a rejection that nobody handles.
    process.nextTick(() => {
      // From here on an error that nobody listens for is the application's, as with any socket.
      socket.off('error', ignore)
      if (!this.emit('connection', socket, peer)) socket.destroy()
    })
  }
}

/**
 * Registers `address` (four components) and hands each connection to it to `onConnection`, with its verified peer.
 *
 * Sockets are half-open: end them. A connection that is cut fails with STREAM_TRUNCATED or ECONNRESET where that can be
 * told. After a restart of the agent it registers and binds again by itself. Rejects as `register`, and with
 * CANNOT_CONNECT if the path that the agent gives cannot be bound.
 */
export async function listen(
  address: string,
  options: ListenOptions = {},
  onConnection?: ConnectionListener
): Promise<MeshServer> {
  const server = new MeshServer(options)
  if (onConnection !== undefined) server.on('connection', onConnection)
  await server.start(address, options)
  return server
}
