import type { Socket } from 'node:net'
import type { Transport } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { SelfTest } from './self-test.ts'

type Connect = (address: Multiaddr, options: unknown) => Promise<Socket>

/**
 * Makes the TCP transport of libp2p use sockets that are connected already.
 *
 * libp2p tries the addresses of a host one after another, each for some seconds, and joins a second dial of a host to the first. So
 * the addresses race before libp2p dials, and it receives the socket of the one that has won.
 */
export class StagedSockets {
  readonly #staged = new Map<string, Socket>()

  /** Makes the next dial of this address use `socket`. The returned function destroys it if it was not used. */
  stage(address: Multiaddr, socket: Socket): () => void {
    const key = address.toString()
    this.#staged.set(key, socket)
    return () => {
      if (this.#staged.get(key) !== socket) return
      this.#staged.delete(key)
      socket.destroy()
    }
  }

  /** The same transport; without the private member, it connects a second time. */
  watch<T extends Transport>(transport: T): T {
    const connect = connectOf(transport)
    if (connect === undefined) return transport
    const staged: Connect = async (address, options) => {
      const key = address.toString()
      const socket = this.#staged.get(key)
      this.#staged.delete(key)
      return socket === undefined ? await connect(address, options) : socket
    }
    return Object.assign(transport, { _connect: staged })
  }
}

function connectOf(transport: Transport): Connect | undefined {
  const connect: unknown = Reflect.get(transport, '_connect')
  return typeof connect === 'function' ? connect.bind(transport) : undefined
}

export function stagedSocketsTest(transport: Transport): SelfTest {
  return {
    library: '@libp2p/tcp',
    without: 'each dial of a host connects twice',
    isRequired: false,
    run: async () => (connectOf(transport) === undefined ? 'a transport connects in another way' : undefined)
  }
}
