import { ErrorCode, WarrenError } from '../../core/index.ts'
import { type DropReason, DropReport } from './drops.ts'
import type { LocalDatagrams } from './local.ts'
import { Waiting } from './waiting.ts'

/** Clients at once, for each costs a flow: the idlest makes room for one more. */
export const MAX_CLIENTS = 4_096
/** After a refusal a client is ignored for this long, in milliseconds: it may send any number of datagrams. */
const REFUSED_MS = 1_000
/** A client of one question whose answer has come has this long for another one, in milliseconds. */
const ANSWERED_MS = 500
const REPLAY_MS = 1
const SWEEPS = 4
const LONGEST_SWEEP_MS = 1_000
/** The kernel is asked for its losses this often, in milliseconds. */
const LOSSES_MS = 60_000

/** When a client is forgotten, and its flow ended. */
export interface ClientLife {
  /** Time without datagrams in either direction, in milliseconds. */
  readonly idleMs: number
  /** Also half a second after as many answers as questions, as for DNS. */
  readonly oneQuestion: boolean
}

/** The flow of one client. */
export interface DatagramFlow {
  /** Returns false if the datagram is dropped; throws if it is too large. */
  send(payload: Buffer): boolean
  close(): Promise<void>
  on(event: 'message', listener: (payload: Buffer) => void): unknown
  on(event: 'error', listener: (err: unknown) => void): unknown
  once(event: 'close', listener: () => void): unknown
}

export interface DatagramForwarderOptions extends ClientLife {
  /** Opens the flow of one client; `from` is where its datagrams come from. */
  readonly open: (signal: AbortSignal, from: string) => Promise<DatagramFlow>
  /** Called for each flow that could not be opened or was cut. */
  readonly onFailure: (err: unknown) => void
  /** Told of dropped datagrams, at most once a minute. */
  readonly onDrops: (text: string) => void
  /** How many queues share the memory for what waits. @default its clients */
  readonly sharers?: () => number
  /** @default MAX_CLIENTS */
  readonly maxClients?: number
}

class Client {
  readonly waiting = new Waiting()
  flow: DatagramFlow | undefined
  isRefused = false
  /** What waited for the flow is being sent. */
  isReplaying = false
  sent = 0
  received = 0
  /** Time of the last datagram in either direction. */
  lastMs = performance.now()

  deadlineMs({ idleMs, oneQuestion }: ClientLife): number {
    if (this.isRefused) return this.lastMs + REFUSED_MS
    // Its flow is being opened, which has a time limit of its own.
    if (this.flow === undefined) return Number.POSITIVE_INFINITY
    const isAnswered = oneQuestion && this.sent > 0 && this.received >= this.sent
    return this.lastMs + (isAnswered ? Math.min(ANSWERED_MS, idleMs) : idleMs)
  }
}

/** A local socket that leads to a workload: one flow for each address that sends to it. */
export class DatagramForwarder {
  readonly #local: LocalDatagrams
  readonly #options: DatagramForwarderOptions
  readonly #maxClients: number
  /** In the order of their last datagram: the first one is the idlest. */
  readonly #clients = new Map<string, Client>()
  #latest: Client | undefined
  readonly #closing = new AbortController()
  readonly #drops: DropReport
  readonly #sweeping: NodeJS.Timeout
  readonly #countingLost: NodeJS.Timeout
  #lost = 0

  constructor(local: LocalDatagrams, options: DatagramForwarderOptions) {
    this.#local = local
    this.#options = options
    this.#maxClients = options.maxClients ?? MAX_CLIENTS
    this.#drops = new DropReport(options.onDrops)
    const shortestMs = options.oneQuestion ? Math.min(ANSWERED_MS, options.idleMs) : options.idleMs
    this.#sweeping = setInterval(() => this.#sweep(), Math.min(LONGEST_SWEEP_MS, shortestMs / SWEEPS))
    this.#countingLost = setInterval(() => this.#countLost(), LOSSES_MS)
    local.onDatagram((payload, from) => this.#received(payload, from))
  }

  /** Ends every flow, frees the port or path and tells the drops. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#sweeping)
    clearInterval(this.#countingLost)
    this.#countLost()
    this.#local.close()
    await Promise.all([...this.#clients.keys()].map(from => this.#forget(from, 'ended')))
    this.#drops.flush()
  }

  #sharers(): number {
    return Math.max(this.#clients.size, this.#options.sharers?.() ?? 0)
  }

  #received(payload: Buffer, from: string): void {
    const client = this.#clients.get(from) ?? this.#welcome(from)
    if (client.isRefused) {
      this.#drops.count('refused')
      return
    }
    this.#touch(from, client)
    client.sent += 1
    if (client.flow !== undefined && !client.isReplaying) this.#send(client.flow, payload)
    else if (!client.waiting.add(payload, client.lastMs, this.#sharers())) this.#drops.count('waiting')
  }

  #welcome(from: string): Client {
    while (this.#clients.size >= this.#maxClients) {
      const [idlest] = this.#clients.keys()
      if (idlest !== undefined) void this.#forget(idlest)
    }
    const client = new Client()
    this.#clients.set(from, client)
    this.#open(from, client).catch((err: unknown) => {
      if (this.#clients.get(from) !== client || this.#closing.signal.aborted) return
      this.#drops.count('refused', client.waiting.drop())
      client.isRefused = true
      client.lastMs = performance.now()
      this.#options.onFailure(err)
    })
    return client
  }

  async #open(from: string, client: Client): Promise<void> {
    const flow = await this.#connect(from)
    // It has made room meanwhile.
    if (this.#clients.get(from) !== client) {
      await flow.close()
      return
    }
    flow.on('error', this.#options.onFailure)
    flow.once('close', () => {
      if (this.#clients.get(from) === client) void this.#forget(from)
    })
    client.flow = flow
    client.isReplaying = true
    this.#replay(client, flow, performance.now())
    flow.on('message', payload => {
      client.received += 1
      if (this.#clients.get(from) === client) this.#touch(from, client)
      if (this.#closing.signal.aborted || !this.#local.send(payload, from)) this.#drops.count('answer')
    })
  }

  #replay(client: Client, flow: DatagramFlow, startMs: number): void {
    for (const payload of client.waiting.due(performance.now() - startMs)) this.#send(flow, payload)
    if (client.waiting.length === 0) client.isReplaying = false
    else setTimeout(() => this.#replay(client, flow, startMs), REPLAY_MS)
  }

  /** The agent may have less room than this: then the idlest makes room as well. */
  async #connect(from: string): Promise<DatagramFlow> {
    const open = (): Promise<DatagramFlow> => this.#options.open(this.#closing.signal, from)
    try {
      return await open()
    } catch (err) {
      const [idlest] = [...this.#clients].find(([key, { flow }]) => key !== from && flow !== undefined) ?? []
      if (!WarrenError.is(err, ErrorCode.LimitExceeded) || idlest === undefined) throw err
      await this.#forget(idlest)
      return await open()
    }
  }

  // A unix socket takes larger ones than a flow does.
  #send(flow: DatagramFlow, payload: Buffer): void {
    try {
      if (!flow.send(payload)) this.#drops.count('flow')
    } catch (err) {
      this.#drops.count('size')
      this.#options.onFailure(err)
    }
  }

  #touch(from: string, client: Client): void {
    client.lastMs = performance.now()
    if (this.#latest === client) return
    this.#latest = client
    this.#clients.delete(from)
    this.#clients.set(from, client)
  }

  #sweep(): void {
    const nowMs = performance.now()
    for (const [from, client] of this.#clients) {
      if (nowMs >= client.deadlineMs(this.#options)) void this.#forget(from)
    }
  }

  #countLost(): void {
    const lost = this.#local.lost()
    this.#drops.count('unread', lost - this.#lost)
    this.#lost = lost
  }

  async #forget(from: string, reason: DropReason = 'room'): Promise<void> {
    const client = this.#clients.get(from)
    if (client === undefined) return
    this.#clients.delete(from)
    this.#drops.count(reason, client.waiting.drop())
    await client.flow?.close()
  }
}
