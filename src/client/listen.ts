import { EventEmitter } from 'node:events'
import type { Server, Socket } from 'node:net'
import { definedOnly, type Logger, silentLogger } from '../core/index.ts'
import { type AgentClient, sharedClient } from './agent-client.ts'
import { bindOwn } from './bind-own.ts'
import { MeshDatagramSocket } from './datagram-socket.ts'
import { type Peer, readHelloOrProbe } from './peer.ts'
import { register } from './register.ts'
import type { RegisterOptions, Registration, RegistrationEnd } from './registration.ts'
import { surfaceTruncation } from './truncation.ts'
import { Witness } from './witness.ts'

export interface ListenOptions extends Omit<RegisterOptions, 'target' | 'onLive'> {
  /** Time for the agent to send the hello of a connection, in milliseconds. @default 10_000 */
  readonly helloTimeoutMs?: number | undefined
  /** @default 'tcp' */
  readonly protocol?: 'tcp' | undefined
}

/** Same as ListenOptions, for flows of datagrams. */
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
  readonly #client: AgentClient
  readonly #log: Logger
  readonly #helloTimeoutMs: number
  #registration: Registration | undefined
  #server: Server | undefined

  /** @internal `listen` makes it. */
  constructor(options: Omit<ListenOptions, 'protocol'>, wrap: (socket: Socket, peer: Peer) => S) {
    super()
    this.#wrap = wrap
    this.#client = options.client ?? sharedClient(definedOnly({ runtimeDir: options.runtimeDir, env: options.env }))
    this.#log = options.log ?? silentLogger
    this.#helloTimeoutMs = options.helloTimeoutMs ?? HELLO_TIMEOUT_MS
  }

  /** The address that others connect to, with five components. */
  get address(): string {
    return this.#registration?.address ?? ''
  }

  get spiffeId(): string {
    return this.#registration?.spiffeId ?? ''
  }

  /** Its registration. There is one once `listen` has resolved. */
  get registration(): Registration | undefined {
    return this.#registration
  }

  /** Resolves when it accepts no more: it was closed, or the agent ended its registration. Never rejects. */
  async closed(): Promise<RegistrationEnd> {
    return (await this.#registration?.closed) ?? { reason: 'closed' }
  }

  /** Deregisters, removes the socket and accepts no more; the agent ends open connections. Idempotent. */
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
      // An agent that restarted may return the same path again: it must be free before it is bound.
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
    // Until the application has the socket, no other code handles its failure.
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
      // The end is the answer to the health check.
      socket.end(() => socket.destroy())
      return
    }
    const known = peer
    surfaceTruncation(socket, new Witness(this.#client, known.flowId))
    // It must not run within this promise, where an exception of a listener would be an unhandled rejection.
    process.nextTick(() => {
      // From here on an error without a listener is the application's, as with any socket.
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
 * Sockets are half-open: end them. A connection that is cut fails with STREAM_TRUNCATED or ECONNRESET if that is
 * detectable. After a restart of the agent it registers and binds again automatically. Rejects as `register`, and with
 * CANNOT_CONNECT if the path from the agent cannot be bound.
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
  // The signatures above define which listener goes with which options.
  if (onConnection !== undefined) (server as EventEmitter).on('connection', onConnection)
  await server.start(address, options)
  return server
}
