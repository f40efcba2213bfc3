import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { type LocalServer, serveWorkloadApi, type WorkloadHandlers } from '../../src/api/index.ts'
import { ErrorCode, silentLogger, WarrenError } from '../../src/core/index.ts'
import { type apiPb, create, encodeFrame, proxyPb, toBinary } from '../../src/wire/index.ts'
import { fakeCredentials, workloadHandlers } from '../api/support.ts'
import { privateDirectory } from '../harness/temporary.ts'

const MACHINE = 'm1'

interface Registered {
  readonly token: string
  readonly address: string
  readonly request: apiPb.RegisterRequest
  readonly listenPath: string
  readonly ended: AbortController
}

/** An agent without a mesh: it carries between the registrations of one process, over real unix sockets. */
export class FakeAgent {
  readonly runtimeDir: string
  readonly calls: string[] = []
  readonly registrations = new Map<string, Registered>()
  /** Called before each Register; throws what the agent is to answer. */
  onRegister: () => Promise<void> = async () => {}
  /** What to write at the front of a client's connection, if not a hello. */
  firstBytes: Buffer | undefined
  readonly #endpoints = new Map<Server, string>()
  readonly #sockets = new Set<Socket>()
  #server: LocalServer | undefined
  #count = 0

  constructor(t: TestContext) {
    this.runtimeDir = privateDirectory('warren-fake-')
    t.after(async () => {
      await this.stop()
      rmSync(this.runtimeDir, { recursive: true, force: true })
    })
  }

  async start(): Promise<this> {
    const { read } = fakeCredentials()
    const { runtimeDir } = this
    const handlers = workloadHandlers(this.#handlers())
    this.#server = await serveWorkloadApi({ runtimeDir, handlers, credentials: read, log: silentLogger })
    return this
  }

  /** Stops as a killed agent does: all is forgotten, every connection is cut. */
  async stop(): Promise<void> {
    this.registrations.clear()
    this.reap()
    this.cut()
    await this.#server?.close()
  }

  /** Removes all endpoints of sources, as when nobody uses them. */
  reap(): void {
    for (const server of this.#endpoints.keys()) server.close()
    this.#endpoints.clear()
  }

  /** Destroys every brokered connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
  }

  countOf(call: string): number {
    return this.calls.filter(each => each === call).length
  }

  addresses(): string[] {
    return [...this.registrations.values()].map(({ address }) => address)
  }

  /** Ends a registration from the agent's side. */
  end(address: string, reason: string): void {
    for (const registered of this.registrations.values()) {
      if (registered.address === address) registered.ended.abort(reason)
    }
  }

  #handlers(): Partial<WorkloadHandlers> {
    return {
      register: async request => {
        this.calls.push('register')
        await this.onRegister()
        this.#count += 1
        const token = `token-${this.#count}`
        const listenPath = request.target?.kind.case === 'listen' ? join(this.runtimeDir, `l${this.#count}`) : ''
        const address = `${request.address}.${MACHINE}`
        this.registrations.set(token, { token, address, request, listenPath, ended: new AbortController() })
        return { token, registrationId: `id-${this.#count}`, address, spiffeId: spiffeId(address), listenPath }
      },
      listServices: async () => ({}),
      keep: (request, _caller, signal) => this.#keep(request.token, signal),
      deregister: async ({ token }) => {
        this.calls.push('deregister')
        this.#find(token)
        this.registrations.delete(token)
        return { replication: { state: 'replicated', acked: 1, required: 1 } }
      },
      connect: async ({ token, destination }) => {
        this.calls.push('connect')
        const source = this.#find(token)
        const target = [...this.registrations.values()].find(({ address }) => address.startsWith(destination))
        if (target === undefined) throw new WarrenError(ErrorCode.DestinationNotFound, `nobody is ${destination}`)
        this.#count += 1
        const path = join(this.runtimeDir, `c${this.#count}`)
        const server = createServer({ allowHalfOpen: true }, socket => void this.#proxy(socket, source, destination))
        this.#endpoints.set(server, path)
        server.listen(path)
        await once(server, 'listening')
        return { path, spiffeId: spiffeId(target.address), helloTimeoutMs: 10_000 }
      }
    }
  }

  async *#keep(token: string, signal: AbortSignal): AsyncGenerator<MessageInitShape<typeof apiPb.KeepResponseSchema>> {
    this.calls.push('keep')
    const registered = this.#find(token)
    yield { event: { case: 'alive', value: {} } }
    const over = Promise.withResolvers<void>()
    registered.ended.signal.addEventListener('abort', () => over.resolve())
    if (registered.ended.signal.aborted) over.resolve()
    signal.addEventListener('abort', () => over.reject(signal.reason))
    try {
      await over.promise
      yield { event: { case: 'ended', value: { reason: String(registered.ended.signal.reason) } } }
    } finally {
      this.registrations.delete(token)
    }
  }

  async #proxy(client: Socket, source: Registered, destination: string): Promise<void> {
    this.#track(client)
    if (this.firstBytes !== undefined) {
      client.end(this.firstBytes)
      return
    }
    const target = [...this.registrations.values()].find(({ address }) => address.startsWith(destination))
    if (target === undefined) {
      client.end(hello({ error: { code: ErrorCode.CannotConnect, reason: 'it is gone' } }))
      return
    }
    const server = connect({ path: target.listenPath, allowHalfOpen: true })
    this.#track(server)
    server.write(hello({ flowId: 'f', peerSpiffeId: spiffeId(source.address) }))
    client.write(hello({ flowId: 'f', peerSpiffeId: spiffeId(target.address) }))
    client.pipe(server)
    server.pipe(client)
    client.on('close', failed => failed && server.destroy())
    server.on('close', failed => failed && client.destroy())
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
  }

  #find(token: string): Registered {
    const registered = this.registrations.get(token)
    if (registered === undefined) throw new WarrenError(ErrorCode.InvalidSource, 'the token is unknown')
    return registered
  }
}

export function hello(init: Parameters<typeof create<typeof proxyPb.FlowHelloSchema>>[1]): Buffer {
  return encodeFrame(toBinary(proxyPb.FlowHelloSchema, create(proxyPb.FlowHelloSchema, init)))
}

function spiffeId(address: string): string {
  return `spiffe://example.org/${address.replaceAll('.', '/')}`
}
