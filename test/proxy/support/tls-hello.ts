/** Group of RFC 8446 registry: X25519MLKEM768. */
export const X25519MLKEM768 = 0x11ec
const SUPPORTED_GROUPS = 10
const KEY_SHARE = 51
const RECORD_HEADER_BYTES = 5
const HELLO_HEADER_BYTES = 4

/** What a ClientHello offers. */
export interface Offered {
  readonly groups: readonly number[]
  readonly shares: readonly number[]
}

/** Reads a ClientHello from the first bytes that a client sends. Throws RangeError if there are not enough. */
export function readClientHello(bytes: Buffer): Offered {
  const hello = handshake(bytes)
  let at = 2 + 32
  at += 1 + hello.readUInt8(at)
  at += 2 + hello.readUInt16BE(at)
  at += 1 + hello.readUInt8(at)
  const extensions = extensionsAt(hello, at)
  const shares: number[] = []
  const offered = extensions.get(KEY_SHARE) ?? Buffer.alloc(2)
  for (let share = 2; share < offered.length; share += 4 + offered.readUInt16BE(share + 2)) {
    shares.push(offered.readUInt16BE(share))
  }
  const groups = extensions.get(SUPPORTED_GROUPS) ?? Buffer.alloc(2)
  return { groups: Array.from({ length: (groups.length - 2) / 2 }, (_, n) => groups.readUInt16BE(2 + 2 * n)), shares }
}

/** Reads the group that a ServerHello selects from the first bytes that a server sends. */
export function readServerHello(bytes: Buffer): number | undefined {
  const hello = handshake(bytes)
  let at = 2 + 32
  at += 1 + hello.readUInt8(at)
  at += 2 + 1
  return extensionsAt(hello, at).get(KEY_SHARE)?.readUInt16BE(0)
}

// A hello fits into one record.
function handshake(bytes: Buffer): Buffer {
  const length = bytes.readUInt16BE(3)
  if (bytes.length < RECORD_HEADER_BYTES + length) throw new RangeError('the record is not complete')
  return bytes.subarray(RECORD_HEADER_BYTES + HELLO_HEADER_BYTES, RECORD_HEADER_BYTES + length)
}

function extensionsAt(hello: Buffer, start: number): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>()
  const end = start + 2 + hello.readUInt16BE(start)
  for (let at = start + 2; at < end; ) {
    const length = hello.readUInt16BE(at + 2)
    found.set(hello.readUInt16BE(at), hello.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return found
}
