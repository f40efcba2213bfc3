import type { Socket } from 'node:dgram'
import { isIP } from 'node:net'
import { withoutMapping } from '../core/index.ts'
import type { DatagramListener, DropListener, Remote, UdpEndpoint } from './endpoint.ts'
import { isIpv6 } from './socket.ts'

/** Maximum of bytes that wait inside Node for the network. */
const MAX_BACKLOG_BYTES = 1024 * 1024

/** Uses `node:dgram`: one system call and one callback for each datagram. */
export class NodeEndpoint implements UdpEndpoint {
  readonly #socket: Socket
  readonly #isIpv6: boolean
  #closed = false
  #isGone = false
  /** Bytes that the system has not accepted yet. */
  #sending = 0

  constructor(socket: Socket) {
    this.#socket = socket
    this.#isIpv6 = isIpv6(socket)
    socket.once('close', () => {
      this.#isGone = true
    })
  }

  listen(maxBytes: number, listener: DatagramListener): void {
    this.#socket.on('message', (payload, { address, port }) => {
      if (!this.#closed && payload.length <= maxBytes)
        listener(payload, () => ({ address: withoutMapping(address), port }))
    })
  }

  send(payload: Uint8Array, to?: Remote, onDrop?: DropListener): boolean {
    const socket = this.#socket
    if (this.#closed || this.#isGone || socket.getSendQueueSize() > MAX_BACKLOG_BYTES) return false
    const copy = Buffer.from(payload)
    const sent = (err: Error | null): void => {
      this.#sending -= 1
      if (err !== null && 'code' in err && (err.code === 'EAGAIN' || err.code === 'ENOBUFS'))
        onDrop?.dropped(copy.length)
      if (err !== null && 'code' in err && err.code === 'ECONNREFUSED') onDrop?.refused?.()
      if (this.#closed && this.#sending === 0) this.#shut()
    }
    this.#sending += 1
    if (to === undefined) socket.send(copy, sent)
    else socket.send(copy, to.port, this.#isIpv6 && isIP(to.address) === 4 ? `::ffff:${to.address}` : to.address, sent)
    return true
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#sending === 0) this.#shut()
  }

  #shut(): void {
    if (!this.#isGone) this.#socket.close()
  }
}
