import { Server, type Socket } from 'node:net'
import type { Listener, Transport } from '@libp2p/interface'
import { type Logger, peekFirstByte, type UnprovenPlace } from '../../core/index.ts'
import type { PortSharer } from '../types.ts'
import type { SelfTest } from './self-test.ts'

export interface SharedPortDeps {
  /** Gives a connection its place among those that are not admitted; it is destroyed if it loses the place. */
  readonly enter: (socket: Socket) => UnprovenPlace
  readonly log: Logger
  readonly stopping: AbortSignal
}

/**
 * Lets another protocol use the listener of libp2p's TCP transport, which has no option for that.
 *
 * A connection is held until its first byte has arrived: a dialler of libp2p sends at once. Then libp2p receives it as if it were
 * new, unless the sharer takes it.
 */
export class SharedPort {
  readonly #deps: SharedPortDeps
  /** Connections whose first byte has not arrived, and those that the sharer has. */
  readonly #sockets = new Set<Socket>()
  #sharer: PortSharer | undefined
  #onListening: (server: Server, port: number) => void = () => {}

  constructor(deps: SharedPortDeps) {
    this.#deps = deps
    // libp2p waits for every connection of its listener to close.
    deps.stopping.addEventListener('abort', () => {
      for (const socket of this.#sockets) socket.destroy()
    })
  }

  /** `listener` is called with each listener of TCP that is bound, and its port. */
  onListening(listener: (server: Server, port: number) => void): void {
    this.#onListening = listener
  }

  share(sharer: PortSharer): void {
    this.#sharer = sharer
  }

  /** The same transport; without the private member of its listeners, libp2p receives every connection. */
  watch<T extends Transport>(transport: T): T {
    const create = transport.createListener.bind(transport)
    const createListener: Transport['createListener'] = options => {
      const listener = create(options)
      const server = serverOf(listener)
      if (server !== undefined) this.#watch(server)
      return listener
    }
    return Object.assign(transport, { createListener })
  }

  #watch(server: Server): void {
    server.once('listening', () => {
      const at = server.address()
      if (at !== null && typeof at === 'object') this.#onListening(server, at.port)
    })
    const former = server.listeners('connection')
    server.removeAllListeners('connection')
    server.on('connection', socket => {
      this.#look(socket, () => {
        for (const accept of former) accept.call(server, socket)
      })
    })
  }

  #look(socket: Socket, toLibp2p: () => void): void {
    const { enter, log, stopping } = this.#deps
    if (stopping.aborted) {
      socket.destroy()
      return
    }
    const onError = (): void => {}
    socket.on('error', onError)
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    const place = enter(socket)
    peekFirstByte(socket, byte => {
      // Whoever receives it bounds it anew.
      place.release()
      const sharer = this.#sharer
      if (sharer?.takes(byte) === true) {
        sharer.serve(socket, byte)
        return
      }
      this.#sockets.delete(socket)
      try {
        toLibp2p()
        socket.off('error', onError)
      } catch (err) {
        // The listener has just been closed.
        log.debug('a connection to the mesh port was not taken', { err })
        socket.destroy()
      }
    })
  }
}

function serverOf(listener: Listener): Server | undefined {
  const server: unknown = Reflect.get(listener, 'server')
  return server instanceof Server && server.listenerCount('connection') > 0 ? server : undefined
}

export function sharedPortTest(transport: Transport): SelfTest {
  return {
    library: '@libp2p/tcp',
    without: 'no session is accepted at the mesh port',
    isRequired: false,
    run: async () => {
      const listener = transport.createListener({ upgrader: undefined } as never)
      return serverOf(listener) === undefined ? 'a listener does not show its server' : undefined
    }
  }
}
