import type { Socket } from 'node:net'
import { type HostPort, raceAbort, type UnprovenPlace, withoutMapping } from '../../core/index.ts'
import { FIRST_BYTE_TIMEOUT_MS } from '../timing.ts'
import { decodePreamble, PREAMBLE_BYTES } from './format.ts'
import { OBSERVED_MS } from './limits.ts'

interface Seen {
  readonly end: HostPort
  readonly take: () => void
}

/**
 * Recognises connections to the data port that show where a host comes from, by a proof of which that host has told this agent.
 *
 * Until then a connection keeps its place among those of peers that have not proved themselves. It is closed in any case after a
 * time, and nothing is sent on it.
 */
export class Observed {
  /** Those that came before the request that names them. Each has a place, so these are bounded. */
  readonly #seen = new Map<string, Seen>()
  readonly #waiting = new Map<string, (seen: Seen) => void>()
  /** Those that are recognised, and not closed yet. */
  readonly #taken = new Set<Socket>()

  constructor(stopping: AbortSignal) {
    const closeAll = (): void => {
      for (const socket of this.#taken) socket.destroy()
    }
    stopping.addEventListener('abort', closeAll, { once: true })
  }

  /** Takes a connection whose first byte has not been consumed. */
  accept(socket: Socket, place: UnprovenPlace): void {
    const timer = setTimeout(() => socket.destroy(), FIRST_BYTE_TIMEOUT_MS)
    socket.once('close', () => clearTimeout(timer))
    const take = (): void => {
      const bytes: Buffer | null = socket.read(PREAMBLE_BYTES)
      if (bytes === null) return
      socket.off('readable', take)
      this.#add(decodePreamble(bytes), socket, () => {
        clearTimeout(timer)
        place.release()
        if (socket.destroyed) return
        this.#taken.add(socket)
        const end = setTimeout(() => socket.destroy(), OBSERVED_MS)
        socket.once('close', () => {
          this.#taken.delete(socket)
          clearTimeout(end)
        })
      })
    }
    socket.on('readable', take)
    take()
  }

  /** Resolves with the remote end of the connection that has begun with `proof`. Rejects with the reason of the signal. */
  async endOf(proof: Buffer, signal: AbortSignal): Promise<HostPort> {
    const key = keyOf(proof)
    const before = this.#seen.get(key)
    if (before !== undefined) return this.#take(key, before)
    const arrived = Promise.withResolvers<Seen>()
    this.#waiting.set(key, arrived.resolve)
    try {
      return this.#take(key, await raceAbort(arrived.promise, signal))
    } finally {
      this.#waiting.delete(key)
    }
  }

  #take(key: string, { end, take }: Seen): HostPort {
    this.#seen.delete(key)
    take()
    return end
  }

  #add(proof: Buffer | undefined, socket: Socket, take: () => void): void {
    const { remoteAddress, remotePort } = socket
    if (proof === undefined || remoteAddress === undefined || remotePort === undefined) {
      socket.destroy()
      return
    }
    // More bytes are no part of this protocol; they are discarded, and so is the end.
    socket.resume()
    const key = keyOf(proof)
    const seen = { end: { host: withoutMapping(remoteAddress), port: remotePort }, take }
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) {
      waiting(seen)
      return
    }
    this.#seen.set(key, seen)
    socket.once('close', () => {
      if (this.#seen.get(key) === seen) this.#seen.delete(key)
    })
  }
}

function keyOf(proof: Buffer): string {
  return proof.toString('latin1')
}
