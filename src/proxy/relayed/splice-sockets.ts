import type { Socket } from 'node:net'
import { spliceStreams } from '../../core/index.ts'
import { boundKernelBuffers, canTakeOver, READ_BYTES, readPool, takeOver } from '../fastpath/index.ts'

/** Bytes of each direction, from the first connection to the second and back. */
export interface PassedOn {
  readonly forth: number
  readonly back: number
}

export interface SplicedSockets {
  /** They may replace those that were passed in. */
  readonly sockets: readonly [Socket, Socket]
  /** Resolves once both have closed; never rejects. */
  readonly done: Promise<PassedOn>
}

/** Smaller reads are copied to a buffer of their own. */
const SMALL_BYTES = 4 * 1024

/**
 * Joins two TCP connections until both directions have ended, or one of the connections breaks; then the other is broken too. The
 * end of each direction is passed on separately.
 *
 * Nothing is read while bytes wait for the other end, so each direction holds one read. Reads go to one buffer and are copied to one
 * that is reused: the garbage of a new buffer for each read cost the relay half of its processor time.
 */
export function spliceSockets(near: Socket, far: Socket): SplicedSockets {
  for (const one of [near, far]) {
    one.allowHalfOpen = true
    one.setNoDelay(true)
    boundKernelBuffers(one)
  }
  if (!canTakeOver()) return { sockets: [near, far], done: spliceStreams(near, far) }
  const one = new End(near)
  let other: End
  try {
    other = new End(far)
  } catch (err) {
    // No descriptor is left for it; that of the first one would never be closed.
    one.socket.destroy()
    throw err
  }
  const done = Promise.all([one.join(other), other.join(one)]).then(([forth, back]) => ({ forth, back }))
  return { sockets: [one.socket, other.socket], done }
}

/** One of two joined connections. */
class End {
  readonly socket: Socket
  readonly #remaining: Buffer
  #other: End | undefined
  #receivedBytes = 0
  /** Called when nothing waits any more. */
  #onRoom: (() => void) | undefined

  constructor(former: Socket) {
    const { socket, remaining } = takeOver(former, bytes => this.#received(bytes))
    this.socket = socket
    this.#remaining = remaining
    socket.on('error', () => {})
    socket.setKeepAlive(true, 15_000)
  }

  /** Passes what it receives on to `other`. Resolves with the bytes once it has closed. */
  join(other: End): Promise<number> {
    this.#other = other
    const { socket } = this
    socket.once('end', () => other.socket.end())
    const closed = new Promise<number>(resolve => {
      socket.once('close', () => {
        // A connection that closes without an end was cut, and must be cut for the other side as well.
        if (!socket.readableEnded || !socket.writableFinished) other.socket.destroy()
        resolve(this.#receivedBytes)
      })
    })
    if (this.#remaining.length === 0 || this.#received(this.#remaining)) socket.resume()
    return closed
  }

  #received(bytes: Buffer): boolean {
    this.#receivedBytes += bytes.length
    return this.#other?.send(bytes, () => this.socket.resume()) ?? false
  }

  /** Returns false if the bytes wait; `onRoom` is called when they do not any more. */
  send(bytes: Buffer, onRoom: () => void): boolean {
    const { socket } = this
    const lent = bytes.length > SMALL_BYTES && bytes.length <= READ_BYTES ? readPool.take() : undefined
    const own = lent === undefined ? Buffer.from(bytes) : lent.subarray(0, bytes.copy(lent))
    socket.write(own, () => {
      if (lent !== undefined) readPool.give(lent)
      if (socket.writableLength > 0) return
      this.#onRoom?.()
      this.#onRoom = undefined
    })
    if (socket.writableLength === 0) return true
    this.#onRoom = onRoom
    return false
  }
}
