import type { Socket } from 'node:dgram'
import { type DropListener, growBuffers, type UdpEndpoint, udpEndpoint } from '../../udp/index.ts'
import { MAX_DATAGRAM_BYTES } from '../../wire/index.ts'
import type { Cut, Sent } from '../flow/index.ts'
import type { DatagramEvents, DatagramLeg } from './leg.ts'
import type { PortGuard } from './port-guard.ts'

/** Size requested from the kernel for bursts; it may grant less. */
const BUFFER_BYTES = 1024 * 1024

/**
 * A local UDP socket connected to an unmodified server, one for each flow, so that answers reach the right client.
 *
 * A missing server (ECONNREFUSED) does not end the flow: it may return, and the datagram is lost as it would be without
 * warren. A server of a user who may not have the port ends the flow, and receives nothing more.
 */
export class UdpLeg implements DatagramLeg {
  readonly #socket: Socket
  readonly #guard: PortGuard | undefined
  readonly #endpoint: UdpEndpoint
  #events: DatagramEvents | undefined
  #refusal: Cut | undefined
  #drops: DropListener | undefined
  #closed = false

  constructor(socket: Socket, guard?: PortGuard) {
    this.#socket = socket
    this.#guard = guard
    growBuffers(socket, BUFFER_BYTES)
    this.#endpoint = udpEndpoint(socket)
    socket.on('error', () => guard?.suspect())
  }

  start(events: DatagramEvents): void {
    this.#events = events
    this.#drops = { dropped: bytes => events.dropped(1, bytes), refused: () => this.#guard?.suspect() }
    // A datagram that no permitted server of this port sent is not passed on.
    this.#endpoint.listen(MAX_DATAGRAM_BYTES, payload => {
      if (this.#isRight()) events.datagram(payload)
    })
    this.#socket.once('close', () => {
      this.#closed = true
      events.closed()
    })
    if (this.#refusal !== undefined) events.failed(this.#refusal)
  }

  send(payload: Buffer): Sent {
    if (this.#closed || !this.#isRight()) return 'gone'
    // Its failure is the loss of one datagram, and is not counted: a server that is away loses them all.
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

  #isRight(): boolean {
    if (this.#guard === undefined) return true
    if (this.#refusal !== undefined) return false
    const verdict = this.#guard.verdict()
    if (typeof verdict === 'string') return verdict === 'right'
    this.#refusal = { kind: 'server', text: verdict.reason }
    this.#events?.failed(this.#refusal)
    return false
  }
}
