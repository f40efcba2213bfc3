import { createSocket, type Socket } from 'node:dgram'
import { isIP, isIPv6 } from 'node:net'
import type { Logger } from '../../core/index.ts'
import { decodeHeader } from './format.ts'

export interface Remote {
  readonly address: string
  readonly port: number
}

export type PacketListener = (packet: Buffer, from: Remote) => void

/** How a socket of IPv6 shows an address of IPv4. */
const MAPPED = /^::ffff:(?=\d+\.)/i
/** Sessions with a datagram path at once; others use capsules. */
const MAX_LISTENERS = 8_192
/** What may wait for the network, in bytes; beyond it packets are dropped. */
const MAX_BACKLOG_BYTES = 1024 * 1024
/** Asked of the kernel, which may give less; a burst that does not fit is lost. */
const BUFFER_BYTES = 4 * 1024 * 1024

/**
 * The UDP side of the data port. It hands packets to the session that they name, and answers nothing itself.
 *
 * Without it (the port is taken) datagrams go by capsules.
 */
export class PacketPort {
  readonly #log: Logger
  readonly #listeners = new Map<string, PacketListener>()
  #socket: Socket | undefined
  #is6 = false

  constructor(log: Logger) {
    this.#log = log
  }

  /** Binds beside the TCP port. Never rejects: a failure is logged. */
  async bind({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
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
    // What the network says of single packets.
    socket.on('error', err => this.#log.debug('data port: UDP', { err }))
    socket.on('message', (packet, { address, port: from }) => {
      this.#received(packet, { address: address.replace(MAPPED, ''), port: from })
    })
    growBuffers(socket)
    this.#socket = socket
  }

  /** Whether packets can be sent to an address, which must be literal. */
  canReach({ address }: Remote): boolean {
    const version = isIP(address)
    return this.#socket !== undefined && (this.#is6 ? version !== 0 : version === 4)
  }

  /** Hands what names `tag` to `listener`. False if there is no room, or the tag is taken. */
  listen(tag: string, listener: PacketListener): boolean {
    if (this.#socket === undefined || this.#listeners.size >= MAX_LISTENERS || this.#listeners.has(tag)) return false
    this.#listeners.set(tag, listener)
    return true
  }

  ignore(tag: string): void {
    this.#listeners.delete(tag)
  }

  /** False if the packet was dropped, since too many wait already. */
  send(packet: Buffer, { address, port }: Remote): boolean {
    const socket = this.#socket
    if (socket === undefined || socket.getSendQueueSize() > MAX_BACKLOG_BYTES) return false
    const to = this.#is6 && isIP(address) === 4 ? `::ffff:${address}` : address
    socket.send(packet, port, to, () => {})
    return true
  }

  close(): void {
    this.#listeners.clear()
    this.#socket?.close()
    this.#socket = undefined
  }

  #received(packet: Buffer, from: Remote): void {
    const header = decodeHeader(packet)
    if (header !== undefined) this.#listeners.get(header.tag)?.(packet, from)
  }
}

function growBuffers(socket: Socket): void {
  try {
    socket.setRecvBufferSize(BUFFER_BYTES)
    socket.setSendBufferSize(BUFFER_BYTES)
  } catch {
    // What the kernel gives without asking does, with more loss in bursts.
  }
}
