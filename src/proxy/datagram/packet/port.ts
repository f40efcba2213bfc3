import { createSocket } from 'node:dgram'
import { isIP, isIPv6 } from 'node:net'
import { type HostPort, type Logger, type Metrics, silentMetrics } from '../../../core/index.ts'
import { type DropListener, growPortBuffers, type Remote, type UdpEndpoint, udpEndpoint } from '../../../udp/index.ts'
import { decodeHeader, MAX_PACKET_BYTES } from './format.ts'

export type { Remote }

/** The listener may overwrite `packet`. Both `packet` and `from` are valid only during the call. */
export type PacketListener = (packet: Buffer, from: () => Remote) => void

/** What happens to a datagram that is larger than the packets of the path that carries its flow. */
export type Oversize = 'drop' | 'capsule'

/** Maximum of sessions with a datagram path; others use capsules. */
const MAX_LISTENERS = 8_192
/** Size requested from the kernel, which may grant less; a burst that does not fit is lost. */
const BUFFER_BYTES = 4 * 1024 * 1024

/**
 * The UDP side of the data port. It hands packets to the session that they identify, and never answers them.
 *
 * Without it (the port is taken) datagrams are sent as capsules.
 */
export class PacketPort {
  /** For every path of this port. */
  readonly oversize: Oversize
  readonly #log: Logger
  readonly #metrics: Metrics
  readonly #listeners = new Map<string, PacketListener>()
  /** Takes datagrams that are no packets; none by default. */
  onOther: PacketListener | undefined
  #endpoint: UdpEndpoint | undefined
  #localPort: number | undefined
  #is6 = false

  constructor(log: Logger, oversize: Oversize = 'drop', metrics: Metrics = silentMetrics) {
    this.#log = log
    this.#metrics = metrics
    this.oversize = oversize
  }

  /** Binds beside the TCP port. Never rejects: a failure is logged. */
  async bind({ host, port }: HostPort): Promise<void> {
    this.#is6 = isIPv6(host)
    const type = this.#is6 ? 'udp6' : 'udp4'
    // Addresses are literal, and the usual look-up would cost a turn of the event loop for each packet.
    const socket = createSocket({ type, lookup: (address, _options, done) => done(null, address, this.#is6 ? 6 : 4) })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    socket.once('error', reject)
    socket.bind({ address: host, port, exclusive: true }, resolve)
    try {
      await promise
    } catch (err) {
      socket.close()
      this.#log.warn('no UDP at the data port: datagrams go through TCP', { port, err })
      return
    }
    socket.off('error', reject)
    // Errors that the network reports for single packets.
    socket.on('error', err => this.#log.debug('data port: UDP', { err }))
    growPortBuffers(socket, BUFFER_BYTES)
    const endpoint = udpEndpoint(socket)
    endpoint.listen(MAX_PACKET_BYTES, (packet, from) => {
      const header = decodeHeader(packet)
      if (header !== undefined) this.#listeners.get(header.tag)?.(packet, from)
      else this.onOther?.(packet, from)
    })
    this.#endpoint = endpoint
    this.#localPort = port
  }

  /** The port that is bound; undefined if none is. */
  get localPort(): number | undefined {
    return this.#localPort
  }

  /** Whether packets can be sent to an address, which must be literal. */
  canReach({ address }: Remote): boolean {
    const version = isIP(address)
    return this.#endpoint !== undefined && (this.#is6 ? version !== 0 : version === 4)
  }

  /** Hands packets with `tag` to `listener`. Returns false if there is no room, or the tag is taken. */
  listen(tag: string, listener: PacketListener): boolean {
    if (this.#endpoint === undefined || this.#listeners.size >= MAX_LISTENERS || this.#listeners.has(tag)) return false
    this.#listeners.set(tag, listener)
    return true
  }

  ignore(tag: string): void {
    this.#listeners.delete(tag)
  }

  /** Sends `packet` and keeps no reference to it. Returns false if it was dropped because too much waits already. */
  send(packet: Buffer, to: Remote, onDrop?: DropListener): boolean {
    return this.#endpoint?.send(packet, to, onDrop) ?? false
  }

  /** Counts a packet that was sent twice, or that arrived twice. */
  countCopy(result: 'sent' | 'removed'): void {
    this.#metrics.count('warren_datagram_copies_total', { result })
  }

  close(): void {
    this.#listeners.clear()
    this.#endpoint?.close()
    this.#endpoint = undefined
    this.#localPort = undefined
  }
}
