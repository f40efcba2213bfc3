import type { Socket } from 'node:dgram'
import { type DropListener, growBuffers, type UdpEndpoint, udpEndpoint } from '../../udp/index.ts'
import { MAX_DATAGRAM_BYTES } from '../../wire/index.ts'
import type { DatagramEvents, DatagramLeg, Sent } from './leg.ts'

/** Asked of the kernel for bursts, which may give less. */
const BUFFER_BYTES = 1024 * 1024

/**
 * A local UDP socket that is connected to an unmodified server, one for each flow: so the answers go to the right client.
 *
 * A server that is not there (ECONNREFUSED) ends nothing: it may return, and the datagram is lost as it would be without
 * warren.
 */
export class UdpLeg implements DatagramLeg {
  readonly #socket: Socket
  readonly #endpoint: UdpEndpoint
  #drops: DropListener | undefined
  #closed = false

  constructor(socket: Socket) {
    this.#socket = socket
    growBuffers(socket, BUFFER_BYTES)
    this.#endpoint = udpEndpoint(socket)
  }

  start(events: DatagramEvents): void {
    this.#drops = { dropped: bytes => events.dropped(1, bytes) }
    this.#endpoint.listen(MAX_DATAGRAM_BYTES, payload => events.datagram(payload))
    this.#socket.once('close', () => {
      this.#closed = true
      events.closed()
    })
  }

  send(payload: Buffer): Sent {
    if (this.#closed) return 'gone'
    // Its failure is the loss of one datagram, and is counted nowhere: a server that is away loses them all.
    return this.#endpoint.send(payload, undefined, this.#drops) ? 'sent' : 'full'
  }

  end(): void {}

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#endpoint.close()
  }

  abort(): void {
    this.close()
  }
}
