import { type ConnectDatagramOptions, connect, type MeshDatagramSocket } from '../../../client/index.ts'
import type { LocalDatagrams } from './local.ts'

/** Clients at once; datagrams of others are dropped, for each costs a flow. */
const MAX_CLIENTS = 4_096
/** Datagrams of one client that wait for its flow to be opened. */
const MAX_WAITING = 64
/** Time without datagrams in either direction after which a client is forgotten, in milliseconds. As in UDP of the proxy. */
const IDLE_MS = 120_000
/** After a refusal a client is ignored for this long, in milliseconds: it may send any number of datagrams. */
const REFUSED_MS = 1_000

interface Client {
  readonly waiting: Buffer[]
  flow: MeshDatagramSocket | undefined
  active: boolean
  timer: NodeJS.Timeout | undefined
}

export interface DatagramForwarderOptions {
  readonly destination: string
  readonly connect: Omit<ConnectDatagramOptions, 'protocol' | 'signal'>
  /** Called for each flow that could not be opened or was cut. */
  readonly onFailure: (err: unknown) => void
}

/** A local socket that leads to a workload: one flow for each address that sends to it. */
export class DatagramForwarder {
  readonly #local: LocalDatagrams
  readonly #options: DatagramForwarderOptions
  readonly #clients = new Map<string, Client>()
  readonly #closing = new AbortController()

  constructor(local: LocalDatagrams, options: DatagramForwarderOptions) {
    this.#local = local
    this.#options = options
    local.onDatagram((payload, from) => this.#received(payload, from))
  }

  /** Ends every flow and frees the port or path. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#local.close()
    await Promise.all([...this.#clients.keys()].map(from => this.#forget(from)))
  }

  #received(payload: Buffer, from: string): void {
    const client = this.#clients.get(from) ?? this.#welcome(from)
    if (client === undefined) return
    client.active = true
    if (client.flow !== undefined) this.#send(client.flow, payload)
    else if (client.waiting.length < MAX_WAITING) client.waiting.push(Buffer.from(payload))
  }

  #welcome(from: string): Client | undefined {
    if (this.#clients.size >= MAX_CLIENTS) return undefined
    const client: Client = { waiting: [], flow: undefined, active: true, timer: undefined }
    this.#clients.set(from, client)
    this.#open(from, client).catch((err: unknown) => {
      client.waiting.length = 0
      client.timer = setTimeout(() => void this.#forget(from), REFUSED_MS)
      if (!this.#closing.signal.aborted) this.#options.onFailure(err)
    })
    return client
  }

  async #open(from: string, client: Client): Promise<void> {
    const { destination, connect: common, onFailure } = this.#options
    const flow = await connect(destination, { ...common, protocol: 'udp', signal: this.#closing.signal })
    flow.on('error', onFailure)
    flow.once('close', () => void this.#forget(from))
    client.flow = flow
    for (const payload of client.waiting.splice(0)) this.#send(flow, payload)
    flow.on('message', payload => {
      client.active = true
      if (!this.#closing.signal.aborted) this.#local.send(payload, from)
    })
    this.#reapWhenIdle(from, client)
  }

  // A unix socket takes larger ones than a flow does.
  #send(flow: MeshDatagramSocket, payload: Buffer): void {
    try {
      flow.send(payload)
    } catch (err) {
      this.#options.onFailure(err)
    }
  }

  #reapWhenIdle(from: string, client: Client): void {
    client.active = false
    client.timer = setTimeout(() => {
      if (client.active) this.#reapWhenIdle(from, client)
      else void this.#forget(from)
    }, IDLE_MS)
  }

  async #forget(from: string): Promise<void> {
    const client = this.#clients.get(from)
    if (client === undefined) return
    this.#clients.delete(from)
    clearTimeout(client.timer)
    await client.flow?.close()
  }
}
