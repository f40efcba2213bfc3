/** The header of a datagram of SOCKS5 (https://www.rfc-editor.org/rfc/rfc1928#section-7), for a server. Pure. */
export type SocksDatagram =
  | {
      readonly kind: 'datagram'
      /** The destination as the client wrote it, one character for each byte. */
      readonly name: string
      readonly port: number
      /** A part of the bytes that were decoded. */
      readonly payload: Buffer
    }
  /** It is to be dropped. */
  | { readonly kind: 'dropped'; readonly why: string }

const NAME = 3
const ADDRESSES: ReadonlySet<number> = new Set([1, 4])
/** Two reserved bytes, the number of the fragment, the type of the address. */
const HEAD_BYTES = 4
const PORT_BYTES = 2
const MAX_NAME_BYTES = 255

/** Reads a datagram of a client. Never throws. */
export function decodeSocksDatagram(bytes: Buffer): SocksDatagram {
  const [first, second, fragment, type, length = 0] = bytes
  if (type === undefined || first !== 0 || second !== 0) return dropped('has no header of SOCKS5')
  // Section 7: who does not reassemble fragments must drop them.
  if (fragment !== 0) return dropped('is a fragment')
  if (ADDRESSES.has(type)) return dropped('names an address: let the proxy look the name up')
  const payloadAt = HEAD_BYTES + 1 + length + PORT_BYTES
  if (type !== NAME || length === 0 || bytes.length < payloadAt) return dropped('has no header of SOCKS5')
  return {
    kind: 'datagram',
    name: bytes.toString('latin1', HEAD_BYTES + 1, payloadAt - PORT_BYTES),
    port: bytes.readUInt16BE(payloadAt - PORT_BYTES),
    payload: bytes.subarray(payloadAt)
  }
}

/** A datagram for a client, from the destination that it named. Throws RangeError for a name that no client can have sent. */
export function encodeSocksDatagram(name: string, port: number, payload: Uint8Array): Buffer {
  const host = Buffer.from(name, 'latin1')
  if (host.length === 0 || host.length > MAX_NAME_BYTES) throw new RangeError('no name of SOCKS5')
  return Buffer.concat([
    Buffer.from([0, 0, 0, NAME, host.length]),
    host,
    Buffer.from([port >> 8, port & 0xff]),
    payload
  ])
}

function dropped(why: string): SocksDatagram {
  return { kind: 'dropped', why }
}
