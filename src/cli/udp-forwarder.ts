import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { type ConnectDatagramOptions, connect, type MeshDatagramSocket } from '../client/index.ts'
import { bindAt } from './listen-at.ts'
import type { HostPort } from './options/endpoint.ts'

/** Clients at once; datagrams of others are dropped, for each costs a flow. */
const MAX_CLIENTS = 4_096
/** Datagrams of one client that wait for its flow to be opened. */
const MAX_WAITING = 64
/** A client that is silent, and gets no answer, for this long is forgotten, in milliseconds. As in UDP of the broker. */
const IDLE_MS = 120_000
/** After a refusal a client is ignored for this long, in milliseconds: it may send any number of datagrams. */
const REFUSED_MS = 1_000
/** Answers that may wait for the local network, in bytes. */
const MAX_BACKLOG_BYTES = 1024 * 1024

interface Client {
  readonly remote: RemoteInfo
  readonly waiting: Buffer[]
  flow: MeshDatagramSocket | undefined
  active: boolean
  timer: NodeJS.Timeout | undefined
}

export interface UdpForwarderOptions {
  readonly destination: string
  readonly connect: Omit<ConnectDatagramOptions, 'protocol' | 'signal'>
  /** Told of each flow that could not be opened or was cut. */
  readonly onFailure: (err: unknown) => void
}

/** A local UDP port that leads to a workload: one flow for each address and port that sends to it. */
export class UdpForwarder {
  readonly #socket: Socket
  readonly #options: UdpForwarderOptions
  readonly #clients = new Map<string, Client>()
  readonly #closing = new AbortController()

  private constructor(socket: Socket, options: UdpForwarderOptions) {
    this.#socket = socket
    this.#options = options
    socket.on('message', (payload, remote) => this.#received(payload, remote))
  }

  /** Binds `at`, and answers where. Rejects as `bindAt`. */
  static async bind(at: HostPort, options: UdpForwarderOptions): Promise<{ forwarder: UdpForwarder; bound: string }> {
    const socket = createSocket(isIPv6(at.host) ? 'udp6' : 'udp4')
    const bound = await bindAt(socket, at)
    // What the network answers to an answer (ECONNREFUSED, say) ends nothing.
    socket.on('error', options.onFailure)
    return { forwarder: new UdpForwarder(socket, options), bound }
  }

  /** Ends every flow and frees the port. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#socket.close()
    await Promise.all([...this.#clients.keys()].map(key => this.#forget(key)))
  }

  #received(payload: Buffer, remote: RemoteInfo): void {
    const key = `${remote.address} ${remote.port}`
    const client = this.#clients.get(key) ?? this.#welcome(key, remote)
    if (client === undefined) return
    client.active = true
    if (client.flow !== undefined) client.flow.send(payload)
    else if (client.waiting.length < MAX_WAITING) client.waiting.push(payload)
  }

  #welcome(key: string, remote: RemoteInfo): Client | undefined {
    if (this.#clients.size >= MAX_CLIENTS) return undefined
    const client: Client = { remote, waiting: [], flow: undefined, active: true, timer: undefined }
    this.#clients.set(key, client)
    this.#open(key, client).catch((err: unknown) => {
      client.waiting.length = 0
      client.timer = setTimeout(() => void this.#forget(key), REFUSED_MS)
      if (!this.#closing.signal.aborted) this.#options.onFailure(err)
    })
    return client
  }

  async #open(key: string, client: Client): Promise<void> {
    const { destination, connect: common, onFailure } = this.#options
    const flow = await connect(destination, { ...common, protocol: 'udp', signal: this.#closing.signal })
    flow.on('error', onFailure)
    flow.once('close', () => void this.#forget(key))
    client.flow = flow
    for (const payload of client.waiting.splice(0)) flow.send(payload)
    const { port, address } = client.remote
    flow.on('message', payload => {
      client.active = true
      if (this.#closing.signal.aborted || this.#socket.getSendQueueSize() > MAX_BACKLOG_BYTES) return
      this.#socket.send(payload, port, address, () => {})
    })
    this.#reapWhenIdle(key, client)
  }

  #reapWhenIdle(key: string, client: Client): void {
    client.active = false
    client.timer = setTimeout(() => {
      if (client.active) this.#reapWhenIdle(key, client)
      else void this.#forget(key)
    }, IDLE_MS)
  }

  async #forget(key: string): Promise<void> {
    const client = this.#clients.get(key)
    if (client === undefined) return
    this.#clients.delete(key)
    clearTimeout(client.timer)
    await client.flow?.close()
  }
}
