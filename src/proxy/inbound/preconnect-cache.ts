import type { Socket } from 'node:net'
import { PARK_MS } from '../timing.ts'

interface Parked {
  readonly socket: Socket
  readonly timer: NodeJS.Timeout
  readonly forget: () => void
}

/**
 * Connections that a preflight made to a target, for the flow that usually follows.
 *
 * Without it a server would see an empty connection before each first one, and one that accepts only once (`nc -l`)
 * would be used up by the check. No byte has been exchanged on a parked connection; one that its server ends is dropped.
 */
export class Parking {
  readonly #parked = new Map<string, Parked>()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  /** Keeps the socket, or closes it if there is one already or no room. */
  park(key: string, socket: Socket): void {
    if (this.#parked.has(key) || this.#parked.size >= this.#max || socket.destroyed) {
      socket.destroy()
      return
    }
    const forget = (): void => {
      this.#remove(key)?.destroy()
    }
    this.#parked.set(key, { socket, timer: setTimeout(forget, PARK_MS), forget })
    socket.once('end', forget).once('close', forget)
    // Shows an end that comes before any data; what a server says first stays in the buffer.
    socket.on('readable', onReadable)
    socket.read(0)
  }

  take(key: string): Socket | undefined {
    const socket = this.#remove(key)
    return socket === undefined || socket.destroyed ? undefined : socket
  }

  /** Closes those whose key begins so; all without an argument. */
  clear(prefix = ''): void {
    for (const [key, { forget }] of [...this.#parked]) if (key.startsWith(prefix)) forget()
  }

  #remove(key: string): Socket | undefined {
    const parked = this.#parked.get(key)
    if (parked === undefined) return undefined
    this.#parked.delete(key)
    clearTimeout(parked.timer)
    parked.socket.off('end', parked.forget).off('close', parked.forget).off('readable', onReadable)
    return parked.socket
  }
}

function onReadable(this: Socket): void {
  if (this.readableLength === 0) this.read()
}
