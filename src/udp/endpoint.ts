/**
 * Source or destination of a datagram. The address is literal; an IPv4 address has its usual form on an IPv6 socket
 * too.
 */
export interface Remote {
  readonly address: string
  readonly port: number
}

/** Notified when the system does not accept a datagram that `send` accepted. */
export interface DropListener {
  /** Called with its size in bytes. */
  readonly dropped: (bytes: number) => void
  /** No process had the port of an earlier datagram. Not every such datagram causes a call. */
  readonly refused?: () => void
}

/** `payload` is valid, and `from` may be called, only during the call. */
export type DatagramListener = (payload: Buffer, from: () => Remote) => void

/** A UDP socket, bound or connected, that may send and receive many datagrams with one system call. */
export interface UdpEndpoint {
  /** Delivers received datagrams, except those above `maxBytes`. Must be called once. */
  readonly listen: (maxBytes: number, listener: DatagramListener) => void
  /**
   * Accepts a datagram, and keeps no reference to it, to send it before the turn of the event loop ends; without `to`,
   * to the address that the socket is connected to. Returns false if it was dropped at once because too much waits
   * already. A later error from the network is at most an `error` of the socket.
   */
  readonly send: (payload: Uint8Array, to?: Remote, onDrop?: DropListener) => boolean
  /** Sends the accepted datagrams, then closes the socket. Idempotent. */
  readonly close: () => void
}
