import type { Socket } from 'node:net'

/** Decides whether the connections to a socket of an agent keep this process from ending: while one holder needs them. */
export class ProcessHold {
  readonly #sockets = new Map<Socket, { readonly ref: () => void; readonly unref: () => void }>()
  #holders = 0

  /** Makes a connection follow this hold. Its own `ref` and `unref` have no effect from then on. */
  adopt(socket: Socket): Socket {
    const own = { ref: socket.ref.bind(socket), unref: socket.unref.bind(socket) }
    // The session calls both by the number of its streams, and the stream of a registration that nobody uses holds nothing.
    socket.ref = () => socket
    socket.unref = () => socket
    this.#sockets.set(socket, own)
    socket.once('close', () => this.#sockets.delete(socket))
    if (this.#holders === 0) own.unref()
    return socket
  }

  /** Holds the process until the returned function is called. */
  take(): () => void {
    this.#holders += 1
    if (this.#holders === 1) for (const { ref } of this.#sockets.values()) ref()
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#holders -= 1
      if (this.#holders === 0) for (const { unref } of this.#sockets.values()) unref()
    }
  }
}
