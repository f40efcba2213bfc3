import type { Socket } from 'node:net'
import { PRECONNECT_MS } from '../timing.ts'

interface Preconnected {
  readonly socket: Socket
  readonly timer: NodeJS.Timeout
  readonly forget: () => void
}

/**
 * Connections that a preflight made to a target, cached for the flow that usually follows.
 *
 * Without the cache a server would see an empty connection before each first one, and the check would use up a server
 * that accepts only once (`nc -l`). No byte has been exchanged on a cached connection; one that its server ends is
 * dropped.
 */
export class PreconnectCache {
  readonly #preconnected = new Map<string, Preconnected>()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  /** Caches the socket, or closes it if there is one already or no room. */
  keep(key: string, socket: Socket): void {
    if (this.#preconnected.has(key) || this.#preconnected.size >= this.#max || socket.destroyed) {
      socket.destroy()
      return
    }
    const forget = (): void => {
      this.#remove(key)?.destroy()
    }
    this.#preconnected.set(key, { socket, timer: setTimeout(forget, PRECONNECT_MS), forget })
    socket.once('end', forget).once('close', forget)
    // Detects an end that comes before any data; data that a server sends first stays in the buffer.
    socket.on('readable', onReadable)
    socket.read(0)
  }

  take(key: string): Socket | undefined {
    const socket = this.#remove(key)
    return socket === undefined || socket.destroyed ? undefined : socket
  }

  /** Closes those with keys that begin with `prefix`; without an argument, all. */
  clear(prefix = ''): void {
    for (const [key, { forget }] of [...this.#preconnected]) if (key.startsWith(prefix)) forget()
  }

  #remove(key: string): Socket | undefined {
    const preconnected = this.#preconnected.get(key)
    if (preconnected === undefined) return undefined
    this.#preconnected.delete(key)
    clearTimeout(preconnected.timer)
    preconnected.socket.off('end', preconnected.forget).off('close', preconnected.forget).off('readable', onReadable)
    return preconnected.socket
  }
}

function onReadable(this: Socket): void {
  if (this.readableLength === 0) this.read()
}
