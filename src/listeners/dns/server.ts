import { createSocket } from 'node:dgram'
import { createServer, isIPv6, type Server, type Socket } from 'node:net'
import {
  ErrorCode,
  type HostPort,
  parseHostPort,
  Quota,
  TokenBuckets,
  WarrenError,
  withoutMapping
} from '../../core/index.ts'
import { type Remote, type UdpEndpoint, udpEndpoint } from '../../udp/index.ts'
import { readExactly } from '../../wire/index.ts'
import { bindAt, listenAt } from '../listen-at.ts'
import { type DnsAnswer, type DnsQuestion, Rcode } from './answer.ts'
import { datagramLimit, decodeQuery, encodeAnswer, MAX_QUERY_BYTES } from './message.ts'

export interface DnsServerOptions {
  /** Answers a question of a user. One that rejects is answered with SERVFAIL. */
  readonly answer: (question: DnsQuestion, uid: number) => Promise<DnsAnswer>
  /** The user who gets what is sent from `server` to `client`; undefined if nobody does. Throws if the kernel does not say. */
  readonly uidOfDatagrams: (client: HostPort, server: HostPort) => number | undefined
  /** The user at the other end of a connection. Throws if it is unknown. */
  readonly uidOfStream: (client: Socket) => number
  /** Called for each query that could not be answered. */
  readonly onFailure: (err: unknown) => void
  /** Queries of one user, by datagrams and connections. @default 1_000 a second, 2_000 at once */
  readonly rate?: { readonly burst: number; readonly perSecond: number }
}

const RATE = { burst: 2_000, perSecond: 1_000 }
const MAX_USERS = 256
/** Questions that wait for their answer, of one user and of all. */
const MAX_WAITING_PER_UID = 256
const MAX_WAITING = 1_024
const MAX_CONNECTIONS_PER_UID = 32
const MAX_CONNECTIONS = 128
/** Time for a client to send its next query, or to take an answer, in milliseconds. */
const IDLE_MS = 10_000
const MAX_ANSWER_BYTES = 65_535

/** Answers queries of programs of this host by UDP and TCP, at one loopback address. */
export class DnsServer {
  readonly #options: DnsServerOptions
  readonly #rates: TokenBuckets<number>
  readonly #waiting = new Quota<number>(MAX_WAITING_PER_UID, MAX_WAITING)
  readonly #connections = new Quota<number>(MAX_CONNECTIONS_PER_UID, MAX_CONNECTIONS)
  readonly #clients = new Set<Socket>()
  #server: Server | undefined
  #datagrams: UdpEndpoint | undefined

  constructor(options: DnsServerOptions) {
    this.#options = options
    this.#rates = new TokenBuckets({ ...(options.rate ?? RATE), maxKeys: MAX_USERS })
  }

  /** Listens, and returns where, as a person would type it. Rejects as `listenAt`. `at` must be a literal loopback address. */
  async listen(at: HostPort): Promise<string> {
    const server = createServer(client => this.#accept(client))
    server.maxConnections = MAX_CONNECTIONS
    const { bound } = await listenAt(server, { kind: 'tcp', ...at })
    this.#server = server
    const own = parseHostPort(bound)
    const socket = createSocket(isIPv6(own.host) ? 'udp6' : 'udp4')
    try {
      await bindAt(socket, own)
    } catch (err) {
      this.close()
      throw err
    }
    // An error of the network about an answer ends nothing.
    socket.on('error', this.#options.onFailure)
    const datagrams = udpEndpoint(socket)
    this.#datagrams = datagrams
    datagrams.listen(MAX_QUERY_BYTES, (payload, from) => {
      this.#onDatagram(datagrams, Buffer.from(payload), from(), own)
    })
    return bound
  }

  close(): void {
    this.#server?.close()
    this.#datagrams?.close()
    for (const client of this.#clients) client.destroy()
  }

  #onDatagram(datagrams: UdpEndpoint, query: Buffer, from: Remote, own: HostPort): void {
    const client = { host: withoutMapping(from.address), port: from.port }
    let uid: number | undefined
    try {
      // Who would get the answer. So nobody has one sent to another, and what is asked counts for who can read it.
      uid = this.#options.uidOfDatagrams(client, own)
    } catch (err) {
      this.#options.onFailure(err)
    }
    if (uid === undefined || !this.#rates.take(uid, performance.now())) return
    const release = this.#waiting.take(uid)
    if (release === undefined) return
    this.#reply(query, uid, datagramLimit)
      .then(reply => {
        if (reply !== undefined) datagrams.send(reply, from)
      })
      .finally(release)
      .catch((err: unknown) => this.#options.onFailure(err))
  }

  #accept(client: Socket): void {
    client.on('error', () => {})
    this.#clients.add(client)
    client.once('close', () => this.#clients.delete(client))
    this.#converse(client)
      .catch((err: unknown) => {
        if (!WarrenError.is(err, ErrorCode.StreamTruncated)) this.#options.onFailure(err)
      })
      .finally(() => client.destroy())
  }

  /** Answers one query after the other, until the client ends. */
  async #converse(client: Socket): Promise<void> {
    const uid = this.#options.uidOfStream(client)
    const release = this.#connections.take(uid)
    if (release === undefined) {
      throw new WarrenError(ErrorCode.LimitExceeded, `uid ${uid} has too many connections for DNS`)
    }
    client.once('close', release)
    const deadline = new AbortController()
    const timer = setTimeout(() => client.destroy(), IDLE_MS)
    client.once('close', () => {
      clearTimeout(timer)
      deadline.abort(new WarrenError(ErrorCode.StreamTruncated, 'the client of DNS went away'))
    })
    for (;;) {
      const length = (await readExactly(client, 2, deadline.signal)).readUInt16BE()
      if (length > MAX_QUERY_BYTES) return
      const query = await readExactly(client, length, deadline.signal)
      if (!this.#rates.take(uid, performance.now())) return
      const reply = await this.#reply(query, uid, () => MAX_ANSWER_BYTES)
      if (reply === undefined) return
      const size = Buffer.alloc(2)
      size.writeUInt16BE(reply.length)
      await new Promise<void>((resolve, reject) => {
        client.write(Buffer.concat([size, reply]), err => (err ? reject(err) : resolve()))
      })
      timer.refresh()
    }
  }

  async #reply(query: Buffer, uid: number, limitOf: (question: DnsQuestion) => number): Promise<Buffer | undefined> {
    const decoded = decodeQuery(query)
    if (decoded.kind === 'ignored') return undefined
    if (decoded.kind === 'refused') return decoded.reply
    const { question } = decoded
    let answer: DnsAnswer
    try {
      answer = await this.#options.answer(question, uid)
    } catch (err) {
      this.#options.onFailure(err)
      answer = { rcode: Rcode.ServerFailure }
    }
    return encodeAnswer(question, answer, limitOf(question))
  }
}
