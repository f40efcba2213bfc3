import type { Socket } from 'node:net'
import { raceAbort, type UnprovenPlace } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'

/** A connection that this agent made to another, which has begun to send. */
export interface MadeConnection {
  readonly socket: Socket
  /** Has not been consumed. */
  readonly firstByte: number
  /** The agent on whose account it counts: the one that asked for it, or the member that arranged it. */
  readonly peer: PeerKey
  /** Its place among those that are being made; must be given back once an identity is proved on it. */
  readonly place: UnprovenPlace
}

/**
 * Resolves with the first byte that the other end sends, which is not consumed. Rejects, and destroys the socket, when it closes
 * first or when the signal aborts.
 */
export async function begun(socket: Socket, signal: AbortSignal): Promise<number> {
  const first = Promise.withResolvers<number>()
  const closed = (): void => first.reject(new Error('it closed the connection'))
  const look = (): void => {
    const chunk: Buffer | null = socket.read()
    const byte = chunk?.[0]
    if (chunk === null || byte === undefined) return
    socket.off('readable', look).off('close', closed)
    socket.unshift(chunk)
    first.resolve(byte)
  }
  socket.on('error', first.reject).once('close', closed).on('readable', look)
  try {
    return await raceAbort(first.promise, signal)
  } catch (err) {
    first.promise.catch(() => {})
    socket.destroy()
    throw err
  }
}
