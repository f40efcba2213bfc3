import type { Socket } from 'node:dgram'
import { type DatagramEvents, type DatagramLeg, MAX_BACKLOG_BYTES, type Sent } from './leg.ts'

/**
 * A local UDP socket that is connected to an unmodified server, one for each flow: so the answers go to the right client.
 *
 * A server that is not there (ECONNREFUSED) ends nothing: it may return, and the datagram is lost as it would be without
 * warren.
 */
export class UdpLeg implements DatagramLeg {
  readonly #socket: Socket
  #closed = false

  constructor(socket: Socket) {
    this.#socket = socket
  }

  start(events: DatagramEvents): void {
    this.#socket.on('message', payload => events.datagram(payload))
    this.#socket.once('close', () => {
      this.#closed = true
      events.closed()
    })
  }

  send(payload: Buffer): Sent {
    if (this.#closed) return 'gone'
    if (this.#socket.getSendQueueSize() > MAX_BACKLOG_BYTES) return 'full'
    // Its failure is the loss of one datagram, and is counted nowhere: a server that is away loses them all.
    this.#socket.send(payload, () => {})
    return 'sent'
  }

  end(): void {}

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket.close()
  }

  abort(): void {
    this.close()
  }
}
