import type { Socket } from 'node:dgram'
import { datagramDescriptorOf, withoutMapping } from '../../core/index.ts'
import type { DatagramListener, DropListener, Remote, UdpEndpoint } from '../endpoint.ts'
import { NodeEndpoint } from '../node-endpoint.ts'
import { isIpv6 } from '../socket.ts'
import { encodeName } from './names.ts'
import type { NativeUdp } from './native.ts'
import type { Origin } from './send-batch.ts'

/** Failures after which the kernel is no longer asked to segment messages for a socket. */
const MAX_REFUSALS = 8

/** Uses system calls for many datagrams at once. Node's socket waits for datagrams and closes the descriptor. */
export class NativeEndpoint implements UdpEndpoint, Origin {
  readonly fd: () => number | undefined
  readonly #native: NativeUdp
  readonly #socket: Socket
  readonly #isIpv6: boolean
  /** Endpoint for addresses that have no form for the system. */
  readonly #other: NodeEndpoint
  readonly #names = new WeakMap<Remote, Buffer>()
  #refusals = 0
  #closed = false

  constructor(native: NativeUdp, socket: Socket) {
    this.fd = datagramDescriptorOf(socket)
    this.#isIpv6 = isIpv6(socket)
    this.#native = native
    this.#socket = socket
    this.#other = new NodeEndpoint(socket)
    socket.once('close', () => {
      this.#closed = true
    })
  }

  listen(maxBytes: number, listener: DatagramListener): void {
    this.#socket.on('message', (payload, { address, port }) => {
      if (payload.length <= maxBytes) listener(payload, () => ({ address: withoutMapping(address), port }))
      this.#native.receiving.drain(this.fd, maxBytes, listener)
    })
  }

  send(payload: Uint8Array, to?: Remote, onDrop?: DropListener): boolean {
    const name = to === undefined ? undefined : this.#nameOf(to)
    if (to !== undefined && name === undefined) return this.#other.send(payload, to, onDrop)
    // The send batch checks whether the socket still exists.
    if (this.#closed) return false
    this.#native.sending.add(this, payload, name, onDrop)
    return true
  }

  close(): void {
    this.#closed = true
    if (this.#native.sending.holds(this)) this.#native.sending.flush()
    this.#other.close()
  }

  segments(): boolean {
    return this.#native.canSegment && this.#refusals < MAX_REFUSALS
  }

  refusedSegments(): void {
    this.#refusals += 1
  }

  #nameOf(to: Remote): Buffer | undefined {
    const known = this.#names.get(to)
    if (known !== undefined) return known
    const name = encodeName(to, this.#isIpv6)
    if (name !== undefined) this.#names.set(to, name)
    return name
  }
}
