import { EventEmitter } from 'node:events'
import type { Server, Socket } from 'node:net'
import { type Logger, silentLogger } from '../core/index.ts'
import { bindOwn } from './bind-own.ts'
import { MeshDatagramSocket } from './datagram-socket.ts'
import { type Peer, readHelloOrProbe } from './peer.ts'
import { register } from './register.ts'
import type { RegisterOptions, Registration, RegistrationEnd } from './registration.ts'
import { surfaceTruncation } from './truncation.ts'

export interface ListenOptions extends Omit<RegisterOptions, 'target' | 'onLive'> {
  /** How long the agent may take to say who connects, in milliseconds. @default 10_000 */
  readonly helloTimeoutMs?: number | undefined
  /** @default 'tcp' */
  readonly protocol?: 'tcp' | undefined
}

/** As ListenOptions, for flows of datagrams. */
export interface ListenDatagramOptions extends Omit<ListenOptions, 'protocol'> {
  readonly protocol: 'udp'
}

export type ConnectionListener = (socket: Socket, peer: Peer) => void
export type DatagramListener = (socket: MeshDatagramSocket, peer: Peer) => void

const HELLO_TIMEOUT_MS = 10_000

interface Events<S> {
  connection: [S, Peer]
}

/**
 * A registered address whose connections arrive here: the counterpart of a `net.Server`.
 *
 * With protocol `udp` a connection is a MeshDatagramSocket: one for each client.
 */
export class MeshServer<S extends Socket | MeshDatagramSocket = Socket>
  extends EventEmitter<Events<S>>
  implements AsyncDisposable
{
  readonly #wrap: (socket: Socket, peer: Peer) => S
  readonly #log: Logger
  readonly #helloTimeoutMs: number
  #registration: Registration | undefined
  #server: Server | undefined

  /** @internal `listen` makes them. */
  constructor(options: Pick<ListenOptions, 'helloTimeoutMs' | 'log'>, wrap: (socket: Socket, peer: Peer) => S) {
    super()
    this.#wrap = wrap
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
  async start(address: string, { protocol = 'tcp', ...options }: ListenOptions | ListenDatagramOptions): Promise<void> {
    const onLive = async (registration: Registration): Promise<void> => {
      // An agent that restarted may give the same path again: it must be free before it is bound.
      this.#unbind()
      this.#server = await bindOwn(registration.listenPath, socket => void this.#accept(socket))
    }
    const registration = await register(address, {
      ...options,
      target: { listen: { hello: true, protocol, answersProbes: true } },
      onLive
    })
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
    let peer: Peer | undefined
    try {
      peer = await readHelloOrProbe(socket, this.#helloTimeoutMs)
    } catch (err) {
      this.#log.debug('connection without a usable hello', { address: this.address, err })
      socket.destroy()
      return
    }
    if (peer === undefined) {
      // The end is the sign of life that the agent asked for.
      socket.end(() => socket.destroy())
      return
    }
    const known = peer
    surfaceTruncation(socket)
    // Not within this promise, where an exception of a listener would be a rejection that nobody handles.
    process.nextTick(() => {
      // From here on an error that nobody listens for is the application's, as with any socket.
      socket.off('error', ignore)
      const args = [this.#wrap(socket, known), known] as const
      // The type parameter keeps the compiler from seeing that these are the arguments of `connection`.
      if (!(this as unknown as EventEmitter).emit('connection', ...args)) socket.destroy()
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
  options: ListenDatagramOptions,
  onConnection?: DatagramListener
): Promise<MeshServer<MeshDatagramSocket>>
export async function listen(
  address: string,
  options?: ListenOptions,
  onConnection?: ConnectionListener
): Promise<MeshServer>
export async function listen(
  address: string,
  options: ListenOptions | ListenDatagramOptions = {},
  onConnection?: ConnectionListener | DatagramListener
): Promise<MeshServer | MeshServer<MeshDatagramSocket>> {
  const server =
    options.protocol === 'udp'
      ? new MeshServer(options, (socket, peer) => new MeshDatagramSocket(socket, peer))
      : new MeshServer(options, socket => socket)
  // Which listener goes with which options is what the signatures above say.
  if (onConnection !== undefined) (server as EventEmitter).on('connection', onConnection)
  await server.start(address, options)
  return server
}
