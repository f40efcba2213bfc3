import { createServer, Socket } from 'node:net'
import type { Connection, MessageStream, Transport, Upgrader } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { type HostPort, within, withoutMapping } from '../../core/index.ts'
import type { SelfTest } from './self-test.ts'

const LOOPBACK_MS = 1_000

/**
 * Makes all writes to a connection in one turn of the event loop leave together.
 *
 * libp2p writes each buffer separately, and noise turns a frame into two buffers: a length and a text. So every frame of every
 * stream cost two system calls, two packets and their acknowledgements: most of the work of an idle mesh.
 */
export function gatherWrites(connection: MessageStream): void {
  const socket = socketOf(connection)
  if (socket === undefined) return
  const write = socket.write.bind(socket)
  const gathered = (...args: Parameters<typeof write>): boolean => {
    if (socket.writableCorked === 0) {
      socket.cork()
      setImmediate(() => socket.uncork())
    }
    return write(...args)
  }
  Object.assign(socket, { write: gathered })
}

/** The address on this host that a connection has; undefined if it is not known. */
export function localAddressOf(connection: MessageStream): string | undefined {
  const local = socketOf(connection)?.localAddress
  return local === undefined ? undefined : withoutMapping(local)
}

/** The address of the other end; undefined if it is not known. */
export function remoteAddressOf(connection: MessageStream): string | undefined {
  const remote = socketOf(connection)?.remoteAddress
  return remote === undefined ? undefined : withoutMapping(remote)
}

/** The address and port of the other end; undefined if they are not known. */
export function remoteEndOf(connection: MessageStream): HostPort | undefined {
  const { remoteAddress, remotePort } = socketOf(connection) ?? {}
  if (remoteAddress === undefined || remotePort === undefined) return undefined
  return { host: withoutMapping(remoteAddress), port: remotePort }
}

// libp2p has no option for this. A connection whose socket cannot be found is written to as libp2p does.
function socketOf(connection: MessageStream): Socket | undefined {
  const socket: unknown = Reflect.get(connection, 'socket')
  return socket instanceof Socket ? socket : undefined
}

/** Makes `transport` dial a listener on the loopback interface. Without such an interface, nothing is tested. */
export function gatherWritesTest(transport: Transport): SelfTest {
  return {
    library: '@libp2p/tcp',
    without: 'frames are sent one by one, which costs more processor time',
    isRequired: false,
    run: async signal => {
      const raw = await within(LOOPBACK_MS, [signal], limit => loopback(transport, limit)).catch(() => undefined)
      if (raw === undefined || socketOf(raw) !== undefined) return undefined
      return 'a connection does not show its socket'
    }
  }
}

async function loopback(transport: Transport, signal: AbortSignal): Promise<MessageStream | undefined> {
  const server = createServer(socket => socket.on('error', () => {}).resume())
  let raw: MessageStream | undefined
  try {
    const listening = Promise.withResolvers<void>()
    server.once('error', listening.reject).listen(0, '127.0.0.1', listening.resolve)
    await listening.promise
    const address = server.address()
    if (address === null || typeof address === 'string') return undefined
    const upgrader: Pick<Upgrader, 'upgradeOutbound'> = {
      upgradeOutbound: async connection => {
        raw = connection
        return { remoteAddr: connection.remoteAddr } as Connection
      }
    }
    await transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${address.port}`), { signal, upgrader: upgrader as Upgrader })
    return raw
  } finally {
    raw?.abort(new Error('tested'))
    server.close()
  }
}
