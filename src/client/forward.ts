import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { definedOnly, WarrenError } from '../core/index.ts'
import { sharedClient } from './agent-client.ts'
import { type ConnectOptions, connect } from './connect.ts'
import { keepProbing } from './truncation.ts'

export interface ForwardOptions extends Omit<ConnectOptions, 'signal' | 'onStep' | 'protocol'> {
  /** Called for each connection that could not be made, or was cut: its client only sees a connection that closes. */
  readonly onError?: ((err: WarrenError) => void) | undefined
}

/** Clients at once; the rest are disconnected. */
const MAX_CLIENTS = 1_024

/** Where listeners of this process are: they are removed at its end, whoever forgets to close them. */
const directories = new Set<string>()

function removeAll(): void {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
}

/**
 * A unix socket whose connections lead to a destination: for client libraries that take a path, and no stream. Only this user can
 * connect to it. It does not keep the process from ending; its connections do.
 */
export class LocalForward implements AsyncDisposable {
  readonly #destination: string
  readonly #options: ForwardOptions
  readonly #directory: string
  readonly #server: Server
  readonly #clients = new Set<Socket>()

  /** @internal `forward` makes it. */
  constructor(destination: string, options: ForwardOptions) {
    this.#destination = destination
    this.#options = options
    this.#directory = mkdtempSync(join(process.env['XDG_RUNTIME_DIR'] || tmpdir(), 'warren-forward-'))
    if (directories.size === 0) process.on('exit', removeAll)
    directories.add(this.#directory)
    this.#server = createServer({ allowHalfOpen: true }, client => void this.#serve(client))
    this.#server.maxConnections = MAX_CLIENTS
  }

  /** Path of the socket. Its name ends as the driver of MongoDB wants that of a unix socket to end. */
  get path(): string {
    return join(this.#directory, 'mesh.sock')
  }

  /** Ends its connections and removes the socket. Idempotent, never throws. */
  async close(): Promise<void> {
    this.#server.close()
    for (const client of this.#clients) client.destroy()
    rmSync(this.#directory, { recursive: true, force: true })
    directories.delete(this.#directory)
    if (directories.size === 0) process.off('exit', removeAll)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** @internal */
  async start(): Promise<void> {
    try {
      await once(this.#server.listen(this.path), 'listening')
    } catch (err) {
      await this.close()
      throw err
    }
    this.#server.unref()
  }

  async #serve(client: Socket): Promise<void> {
    this.#clients.add(client)
    const gone = new AbortController()
    client.on('error', () => {})
    // A client that is gone looks like one that has ended its direction.
    client.once('end', () => keepProbing(client))
    client.once('close', () => {
      this.#clients.delete(client)
      gone.abort()
    })
    try {
      const { onError: _, ...options } = this.#options
      const remote = await connect(this.#destination, { explicitEnd: true, ...options, signal: gone.signal })
      remote.on('error', err => this.#fail(client, err))
      remote.once('close', () => {
        if (!client.writableEnded) client.destroy()
      })
      client.once('close', failed => {
        if (failed || !client.readableEnded) remote.destroy()
      })
      if (client.destroyed) remote.destroy()
      client.pipe(remote).pipe(client)
    } catch (err) {
      this.#fail(client, err)
    }
  }

  #fail(client: Socket, err: unknown): void {
    const isGone = client.destroyed
    client.destroy()
    if (!isGone) this.#options.onError?.(WarrenError.from(err))
  }
}

/**
 * Opens a unix socket that leads to `destination`, for client libraries of this process that take a path. Each of its connections
 * is one of `connect`, with these options.
 *
 * Rejects with AGENT_NOT_RUNNING or INVALID_ARGUMENT. The destination may appear later.
 */
export async function forward(destination: string, options: ForwardOptions = {}): Promise<LocalForward> {
  const client = options.client ?? sharedClient(definedOnly({ runtimeDir: options.runtimeDir, env: options.env }))
  // Without an agent, or with a malformed destination, every connection could only fail.
  await client.workload.listServices({ pattern: destination, pageSize: 1 })
  const local = new LocalForward(destination, { ...options, client })
  await local.start()
  return local
}
