/** Where a datagram comes from or goes to. The address is literal; one of IPv4 is written as such on a socket of IPv6 too. */
export interface Remote {
  readonly address: string
  readonly port: number
}

/** Told when the system does not take what `send` took. */
export interface DropListener {
  /** With its size in bytes. */
  readonly dropped: (bytes: number) => void
  /** Nobody had the port to which an earlier datagram went. Need not be told each time. */
  readonly refused?: () => void
}

/** `payload` is valid, and `from` may be asked, only during the call. */
export type DatagramListener = (payload: Buffer, from: () => Remote) => void

/** A UDP socket, bound or connected, that may send and receive many datagrams with one call of the system. */
export interface UdpEndpoint {
  /** Delivers what arrives, datagrams above `maxBytes` excepted. To be called once. */
  readonly listen: (maxBytes: number, listener: DatagramListener) => void
  /**
   * Takes a datagram, and keeps no reference to it, to send it before the turn of the event loop is over; without `to` to
   * where the socket is connected. False if it was dropped at once, since too much waits already. What the network
   * says of it later is an `error` of the socket at most.
   */
  readonly send: (payload: Uint8Array, to?: Remote, onDrop?: DropListener) => boolean
  /** Sends what was taken, then closes the socket. Idempotent. */
  readonly close: () => void
}
