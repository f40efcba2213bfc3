import type { Socket } from 'node:net'
import { peekFirstByte, type UnprovenPlace } from '../../core/index.ts'
import { FIRST_BYTE } from '../fastpath/index.ts'
import type { HandshakeLimiter } from '../handshake-limiter.ts'
import { RELAYED_FIRST_BYTE } from '../relayed/index.ts'
import { REVERSE_FIRST_BYTE } from '../reverse/index.ts'

/** The content type of a handshake record, with which a TLS client begins. RFC 8446, 5.1. */
const TLS_FIRST_BYTE = 0x16
const FIRST_BYTES: ReadonlySet<number> = new Set([TLS_FIRST_BYTE, FIRST_BYTE, REVERSE_FIRST_BYTE, RELAYED_FIRST_BYTE])

/** Whether a connection that begins with this byte is one for the data port. */
export function isDataByte(byte: number): boolean {
  return FIRST_BYTES.has(byte)
}

/**
 * Calls back with the first byte that a new connection sends, which is not consumed, and with its place in `limiter`, which the
 * callee keeps; the callback receives the socket paused. A connection that sends nothing in time is closed.
 */
export function firstByte(
  socket: Socket,
  limiter: HandshakeLimiter,
  callback: (byte: number, place: UnprovenPlace) => void
): void {
  socket.on('error', () => {})
  const place = limiter.enter(socket)
  peekFirstByte(socket, byte => {
    place.heard()
    callback(byte, place)
  })
}
