import { ErrorCode, type HostPort, parseHostPort, WarrenError } from '../../../core/index.ts'
import { decodeSocksDatagram, encodeSocksDatagram, type LocalDatagrams, placeOf } from '../../../listeners/index.ts'
import { MAX_DATAGRAM_BYTES } from '../../../wire/index.ts'

export interface ClientDatagramsOptions {
  /** Whether the socket that gets what is sent from `relay` to `sender` is the client's. Throws if the kernel does not say. */
  readonly isOwner: (sender: HostPort, relay: HostPort) => boolean
  /** The only port that is accepted; 0: that of the first datagram. */
  readonly port: number
  /** Called once for each reason why datagrams are dropped. */
  readonly onFailure: (err: unknown) => void
}

/** How long an answer of the kernel counts, in milliseconds: it takes some microseconds, and there may be many datagrams. */
const RECHECK_MS = 1

/**
 * The datagrams of one client of SOCKS5 at its own port, by the destination that each one names. Those of other users, and from
 * other ports, are dropped.
 */
export class ClientDatagrams implements LocalDatagrams {
  readonly bound: string
  readonly at: HostPort
  readonly lost: () => number
  readonly close: () => void
  readonly #local: LocalDatagrams
  readonly #options: ClientDatagramsOptions
  readonly #told = new Set<string>()
  /** Where the client sends from, in the words of `#local`. */
  #client: string | undefined
  #ownedUntilMs = 0

  constructor(local: LocalDatagrams, options: ClientDatagramsOptions) {
    this.#local = local
    this.#options = options
    this.bound = local.bound
    this.at = parseHostPort(local.bound)
    this.lost = local.lost
    this.close = local.close
  }

  onDatagram(listener: (payload: Buffer, destination: string) => void): void {
    this.#local.onDatagram((bytes, from) => {
      if (!this.#isClient(from)) return
      const datagram = decodeSocksDatagram(bytes)
      if (datagram.kind === 'dropped') this.#drop(ErrorCode.Unsupported, `a datagram of a SOCKS client ${datagram.why}`)
      else listener(datagram.payload, `${datagram.name}:${datagram.port}`)
    })
  }

  send(payload: Buffer, destination: string): boolean {
    const client = this.#client
    // Another user may have the port of a client that has closed it.
    if (client === undefined || !this.#isOwned(client)) return false
    const colon = destination.lastIndexOf(':')
    const bytes = encodeSocksDatagram(destination.slice(0, colon), Number(destination.slice(colon + 1)), payload)
    return bytes.length <= MAX_DATAGRAM_BYTES && this.#local.send(bytes, client)
  }

  #isClient(from: string): boolean {
    const { port } = this.#options
    const isElsewhere = this.#client === undefined ? port !== 0 && placeOf(from).port !== port : from !== this.#client
    if (isElsewhere) {
      this.#drop(ErrorCode.PermissionDenied, 'a datagram came from another port than that of its SOCKS client')
      return false
    }
    if (!this.#isOwned(from)) {
      this.#drop(ErrorCode.PermissionDenied, 'a datagram of another user came to the port of a SOCKS client')
      return false
    }
    this.#client = from
    return true
  }

  #isOwned(from: string): boolean {
    const nowMs = performance.now()
    if (from === this.#client && nowMs < this.#ownedUntilMs) return true
    try {
      if (!this.#options.isOwner(placeOf(from), this.at)) return false
    } catch {
      // Nobody is served whom the kernel does not name.
      return false
    }
    this.#ownedUntilMs = nowMs + RECHECK_MS
    return true
  }

  #drop(code: ErrorCode, reason: string): void {
    if (this.#told.has(reason)) return
    this.#told.add(reason)
    this.#options.onFailure(new WarrenError(code, reason))
  }
}
