import type { Socket } from 'node:net'
import { ErrorCode, Quota, WarrenError, withoutMapping } from '../../../core/index.ts'
import { bindUdp, type DatagramFlow, DatagramForwarder, encodeReply, SocksReply } from '../../../listeners/index.ts'
import type { UidOfSender } from './callers.ts'
import { ClientDatagrams } from './client-datagrams.ts'

export interface AssociationsOptions {
  /** Opens the flow of a client to the name that it says, until `signal` aborts. */
  readonly open: (name: string, signal: AbortSignal) => Promise<DatagramFlow>
  readonly uidOfSender: UidOfSender
  /** Called for each flow that could not be opened or was cut, and once for each kind of datagram that a client must not send. */
  readonly onFailure: (err: unknown) => void
  /** Told of dropped datagrams, at most once a minute for each client. */
  readonly onDrops: (text: string) => void
  /** Associations of one user at once. @default 64 */
  readonly maxPerUid?: number
}

const MAX_PER_UID = 64
const MAX_ASSOCIATIONS = 512
/** Destinations of one association; the idlest makes room for one more. */
const MAX_DESTINATIONS = 64
/** Flows of one user, and of all. */
const MAX_FLOWS_PER_UID = 1_024
const MAX_FLOWS = 4_096
/** As of `warren forward --udp`. */
const IDLE_MS = 120_000
const LOOPBACK = '127.0.0.1'

/** What a client asks for. */
export interface AssociateRequest {
  /** The user who connected. */
  readonly uid: number
  /** The port that the client sends from; 0 if it does not say. */
  readonly port: number
}

/** UDP ASSOCIATE of SOCKS5: a port for each connection that asks for one, for datagrams of its user alone. */
export class Associations {
  readonly #options: AssociationsOptions
  readonly #associations: Quota<number>
  readonly #flows = new Quota<number>(MAX_FLOWS_PER_UID, MAX_FLOWS)

  constructor(options: AssociationsOptions) {
    this.#options = options
    this.#associations = new Quota(options.maxPerUid ?? MAX_PER_UID, MAX_ASSOCIATIONS)
  }

  /**
   * Carries datagrams until the client ends its connection, or `gone` aborts. Rejects with LIMIT_EXCEEDED, or if no port can be had:
   * then the client has no answer yet.
   */
  async serve(client: Socket, { uid, port }: AssociateRequest, gone: AbortSignal): Promise<void> {
    const release = this.#associations.take(uid)
    if (release === undefined) {
      throw new WarrenError(ErrorCode.LimitExceeded, `uid ${uid} has too many UDP associations with the proxy`)
    }
    try {
      const { onDrops, onFailure, uidOfSender } = this.#options
      // Where the client is: a socket at a path has no address.
      const host = withoutMapping(client.localAddress ?? LOOPBACK)
      const datagrams = new ClientDatagrams(await bindUdp({ host, port: 0 }, onFailure), {
        isOwner: (sender, relay) => uidOfSender(sender, relay) === uid,
        port,
        onFailure
      })
      const forwarder = new DatagramForwarder(datagrams, {
        open: (signal, name) => this.#open(uid, name, signal),
        sharers: () => this.#flows.size,
        ...{ idleMs: IDLE_MS, oneQuestion: false, maxClients: MAX_DESTINATIONS, onFailure, onDrops }
      })
      try {
        await heldBy(client, gone, encodeReply(SocksReply.Succeeded, datagrams.at))
      } finally {
        await forwarder.close()
      }
    } finally {
      release()
    }
  }

  async #open(uid: number, place: string, signal: AbortSignal): Promise<DatagramFlow> {
    const name = place.slice(0, place.lastIndexOf(':'))
    const release = this.#flows.take(uid)
    if (release === undefined) throw new WarrenError(ErrorCode.LimitExceeded, `uid ${uid} has too many flows of UDP`)
    try {
      const flow = await this.#options.open(name, signal)
      flow.once('close', release)
      return flow
    } catch (err) {
      release()
      throw err
    }
  }
}

/** Answers, and resolves at the end of the connection, in order or not: https://www.rfc-editor.org/rfc/rfc1928#section-6 */
async function heldBy(client: Socket, gone: AbortSignal, answer: Buffer): Promise<void> {
  const over = Promise.withResolvers<void>()
  if (gone.aborted) return
  gone.addEventListener('abort', () => over.resolve(), { once: true })
  client.once('end', over.resolve)
  client.write(answer)
  // Nothing that comes on it has a meaning.
  client.resume()
  await over.promise
  client.end()
}
