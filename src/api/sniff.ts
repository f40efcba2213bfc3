import type { Socket } from 'node:net'

// https://www.rfc-editor.org/rfc/rfc9113#section-3.4 ; no HTTP/1.1 request can begin with this.
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n')

export type Spoken = 'http/1.1' | 'h2c'

/**
 * Calls `found` with the protocol that the first bytes on `socket` speak, and with these bytes, leaving them to be read again.
 *
 * Everything but the preface of HTTP/2 is taken for HTTP/1.1, whose parser refuses garbage. A socket that ends first is
 * destroyed, so that it gives its place back at once. The caller sets the deadline, and must have paused the socket since its
 * creation.
 */
export function sniff(socket: Socket, found: (spoken: Spoken, first: Buffer) => void): void {
  let seen: Buffer = Buffer.alloc(0)
  const onReadable = (): void => {
    const chunk: Buffer | null = socket.read()
    if (chunk === null) return
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk])
    const length = Math.min(seen.length, PREFACE.length)
    const alike = seen.subarray(0, length).equals(PREFACE.subarray(0, length))
    // A few bytes that could still be either; the preface is at most 16 bytes, so `seen` stays small.
    if (alike && length < PREFACE.length) return
    socket.off('readable', onReadable)
    socket.off('end', onEnd)
    socket.unshift(seen)
    found(alike ? 'h2c' : 'http/1.1', seen)
  }
  // It may be half-open: without this it would stay until the deadline.
  const onEnd = (): void => {
    socket.destroy()
  }
  socket.on('readable', onReadable)
  socket.on('end', onEnd)
}
