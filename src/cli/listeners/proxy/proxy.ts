import type { Socket } from 'node:net'
import type { MeshSocket } from '../../../client/index.ts'
import { ErrorCode, Quota, WarrenError, within } from '../../../core/index.ts'
import { type Endpoint, encodeChoice, SOCKS_VERSION, socketsAt } from '../../../listeners/index.ts'
import { readExactly } from '../../../wire/index.ts'
import { StreamForwarder } from '../stream/forwarder.ts'
import { Associations, type AssociationsOptions } from './associations.ts'
import { HttpProxy } from './http.ts'
import { destinationOf } from './names.ts'
import { RefusedHttp } from './refused.ts'
import { serveSocks } from './socks.ts'

export interface LocalProxyOptions {
  /** The uid at the other end of a client's connection. Throws PERMISSION_DENIED if it is unknown. */
  readonly uidOf: (client: Socket) => number
  /** Users who are served. */
  readonly uids: ReadonlySet<number>
  /** The scope of names of two parts. @default there are none */
  readonly scope?: string | undefined
  /** Opens a connection for a client, until `signal` aborts. */
  readonly open: (destination: string, signal: AbortSignal) => Promise<MeshSocket>
  /** The checks that belong to a refusal, as text; undefined if there are none. Never rejects. */
  readonly explain: (err: unknown, destination: string, signal: AbortSignal) => Promise<string | undefined>
  /** @default SOCKS clients can send no datagrams */
  readonly datagrams?: Pick<AssociationsOptions, 'open' | 'uidOfSender' | 'onDrops'> | undefined
  /** As of `forward`, in milliseconds. */
  readonly keepAliveMs: number
  /** Called for each client, or request, that could not be served, or was cut. */
  readonly onFailure: (err: unknown) => void
  /** Time for a client to say what it wants, in milliseconds. @default 10_000 */
  readonly handshakeMs?: number
  /** Connections of one user at once. @default 1_024 */
  readonly maxPerUid?: number
}

const HANDSHAKE_MS = 10_000
const MAX_PER_UID = 1_024
const MAX_CLIENTS = 4_096
/** Users who are not served, and are told so: at once, of one user and of all. */
const MAX_REFUSED_PER_UID = 8
const MAX_REFUSED = 64
const REFUSAL_MS = 2_000

/** SOCKS5 and HTTP on one port, for programs of this host: each connection leads to the name that the client says. */
export class LocalProxy {
  readonly #options: LocalProxyOptions
  readonly #handshakeMs: number
  readonly #places: Quota<number>
  readonly #refusals = new Quota<number>(MAX_REFUSED_PER_UID, MAX_REFUSED)
  readonly #forwarder: StreamForwarder
  readonly #http: HttpProxy
  readonly #refused: RefusedHttp
  readonly #associations: Associations | undefined
  #bound = ''

  constructor(options: LocalProxyOptions) {
    this.#options = options
    const {
      datagrams,
      open,
      explain,
      keepAliveMs,
      onFailure,
      scope,
      handshakeMs = HANDSHAKE_MS,
      maxPerUid = MAX_PER_UID
    } = options
    this.#handshakeMs = handshakeMs
    this.#associations =
      datagrams &&
      new Associations({
        ...datagrams,
        open: async (name, signal) => await datagrams.open(destinationOf(name, scope), signal),
        onFailure
      })
    this.#places = new Quota(maxPerUid, MAX_CLIENTS)
    this.#http = new HttpProxy({
      open: async (name, signal) => await open(destinationOf(name, scope), signal),
      explain: async (err, name, signal) => await explain(err, destinationOf(name, scope), signal),
      ...{ onFailure, bound: () => this.#bound, headMs: handshakeMs }
    })
    this.#refused = new RefusedHttp({ onFailure, headMs: handshakeMs })
    this.#forwarder = new StreamForwarder({ open: (client, gone) => this.#serve(client, gone), keepAliveMs, onFailure })
  }

  /** Listens, and returns where, as a person would type it. */
  async listen(endpoint: Endpoint): Promise<string> {
    this.#bound = await this.#forwarder.listen(socketsAt(endpoint))
    return this.#bound
  }

  /** Takes no more clients, and resolves once those that it has are served to their end, or `signal` aborts. */
  async settle(signal: AbortSignal): Promise<void> {
    await this.#forwarder.settle(signal)
  }

  /** Resets every client and frees the port or path. */
  close(): void {
    this.#forwarder.close()
  }

  async #serve(client: Socket, gone: AbortSignal): Promise<MeshSocket | undefined> {
    // Asked before anything is read: it is a question about this moment.
    const uid = this.#options.uidOf(client)
    if (!this.#options.uids.has(uid)) return await this.#refuse(client, uid, gone)
    const release = this.#places.take(uid)
    if (release === undefined) {
      throw new WarrenError(ErrorCode.LimitExceeded, `uid ${uid} has too many connections to the proxy`)
    }
    client.once('close', release)
    const deadline = new AbortController()
    const timer = setTimeout(() => {
      deadline.abort(new WarrenError(ErrorCode.Timeout, 'a client did not say in time where it wants to be connected'))
    }, this.#handshakeMs)
    const onGone = (): void => deadline.abort(gone.reason)
    gone.addEventListener('abort', onGone, { once: true })
    try {
      const first = await readExactly(client, 1, deadline.signal)
      client.unshift(first)
      if (first[0] !== SOCKS_VERSION) {
        clearTimeout(timer)
        return await this.#http.serve(client, gone)
      }
      const associations = this.#associations
      return await serveSocks(client, deadline.signal, {
        open: async name => {
          clearTimeout(timer)
          const { open, scope } = this.#options
          return await open(destinationOf(name, scope), gone)
        },
        tell: async (err, name) => {
          const { explain, scope } = this.#options
          const checks = async (signal: AbortSignal) => await explain(err, destinationOf(name, scope), signal)
          await this.#refused.answer(client, { err, checks }, gone)
        },
        associate:
          associations &&
          (async port => {
            clearTimeout(timer)
            await associations.serve(client, { uid, port }, gone)
          })
      })
    } finally {
      clearTimeout(timer)
      gone.removeEventListener('abort', onGone)
    }
  }

  /** Says to a user who is not served why, in the protocol that its program speaks; of very many, to some. */
  async #refuse(client: Socket, uid: number, gone: AbortSignal): Promise<never> {
    const reason = `uid ${uid} may not use this proxy`
    const release = this.#refusals.take(uid)
    if (release !== undefined) {
      client.once('close', release)
      await within(REFUSAL_MS, [gone], async signal => {
        const [first] = await readExactly(client, 1, signal)
        client.resume()
        const body = `warren: ${reason}; start one of your own: warren proxy\n`
        client.end(first === SOCKS_VERSION ? encodeChoice(false) : refusedByHttp(body))
      }).catch(() => {})
    }
    throw new WarrenError(ErrorCode.PermissionDenied, reason, {
      hint: `Give --allow-uid ${uid} if that user's programs may use your identity.`
    })
  }
}

function refusedByHttp(body: string): string {
  const head = `HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}`
  return `${head}\r\nConnection: close\r\n\r\n${body}`
}
