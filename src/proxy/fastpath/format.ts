import { TAG_BYTES } from '../aead/index.ts'

/** The first byte of a fast-path connection at the data port. A TLS connection begins with 0x16 there. */
export const FIRST_BYTE = 0x57
export const SESSION_TAG_BYTES = 16
export const SALT_BYTES = 16
export const PREAMBLE_BYTES = 2 + SESSION_TAG_BYTES + 4 + SALT_BYTES
export const HEADER_BYTES = 4
/**
 * Maximum content of one record. The result of one read of a busy socket is sealed as one: measured on loopback, 256
 * KiB carried half as much again as 64 KiB did.
 */
export const MAX_CONTENT_BYTES = 256 * 1024
export const RECORD_OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES
export const OFFSET_BYTES = 8
/** The content of most control records. */
export const NOTHING = Buffer.alloc(0)
/** The content of a start. */
export function offsetContent(offset: number): Buffer {
  const content = Buffer.alloc(OFFSET_BYTES)
  content.writeBigUInt64BE(BigInt(offset))
  return content
}
/** Maximum size of a FlowOpen or a FlowError. */
export const MAX_MESSAGE_BYTES = 4 * 1024
/**
 * Maximum of the bytes of a flow that travel with its opening: a request of HTTP, or the hello of TLS. The other end holds
 * so many of a flow that it has not decided about yet.
 */
export const MAX_FIRST_BYTES = 4 * 1024
/** The first version in which an opening, or a grant, may bring bytes of the flow. */
export const FIRST_BYTES_VERSION = 2
/** The size of the FlowOpen, before it. */
const OPEN_SIZE_BYTES = 2

export const Kind = {
  /** Proves the keys; the first record of each direction. Empty. */
  Hello: 0x01,
  /** The following records are the bytes of its direction from this offset on: 8 bytes, big-endian. */
  Start: 0x02,
  /** Its direction stays on the stream, where it has ended already. Empty. */
  Stay: 0x03,
  Data: 0x04,
  /** The end of its direction: a half close. Empty. */
  End: 0x05,
  /** Asks for a flow on a pooled fast-path connection. A FlowOpen. */
  Open: 0x06,
  /** Grants the flow. Empty. */
  Granted: 0x07,
  /** Refuses the flow. A FlowError. */
  Refused: 0x08,
  /** Asks for a flow, with its first bytes: size of the FlowOpen (2 bytes, big-endian), FlowOpen, bytes. */
  OpenWith: 0x09,
  /** Grants the flow, with the first bytes of the answer. */
  GrantedWith: 0x0a
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

const KINDS: ReadonlySet<number> = new Set(Object.values(Kind))

/**
 * First bytes of a fast-path connection, in the clear: the session and stream it belongs to, and the salt of its keys.
 */
export interface Preamble {
  /** Not authentic: it must be the one that both ends agreed on in the session. */
  readonly version: number
  readonly sessionTag: Buffer
  readonly streamId: number
  readonly salt: Buffer
}

export function encodePreamble({ version, sessionTag, streamId, salt }: Preamble): Buffer {
  const bytes = Buffer.alloc(PREAMBLE_BYTES)
  bytes[0] = FIRST_BYTE
  bytes[1] = version
  sessionTag.copy(bytes, 2)
  bytes.writeUInt32BE(streamId, 2 + SESSION_TAG_BYTES)
  salt.copy(bytes, PREAMBLE_BYTES - SALT_BYTES)
  return bytes
}

/** Reads a preamble; undefined if it is not one. Nothing in it is authentic. */
export function decodePreamble(bytes: Buffer): Preamble | undefined {
  if (bytes.length !== PREAMBLE_BYTES || bytes[0] !== FIRST_BYTE) return undefined
  return {
    version: bytes[1] ?? 0,
    sessionTag: Buffer.from(bytes.subarray(2, 2 + SESSION_TAG_BYTES)),
    streamId: bytes.readUInt32BE(2 + SESSION_TAG_BYTES),
    salt: Buffer.from(bytes.subarray(PREAMBLE_BYTES - SALT_BYTES))
  }
}

/** The content of a record that asks for a flow, with the first bytes of it. */
export function openWith(open: Buffer, first: Buffer): Buffer {
  const content = Buffer.allocUnsafe(OPEN_SIZE_BYTES + open.length + first.length)
  content.writeUInt16BE(open.length)
  open.copy(content, OPEN_SIZE_BYTES)
  first.copy(content, OPEN_SIZE_BYTES + open.length)
  return content
}

/** The two parts of the content of `openWith`; undefined if it is none. */
export function readOpenWith(content: Buffer): { readonly open: Buffer; readonly first: Buffer } | undefined {
  if (content.length < OPEN_SIZE_BYTES) return undefined
  const until = OPEN_SIZE_BYTES + content.readUInt16BE()
  if (until > OPEN_SIZE_BYTES + MAX_MESSAGE_BYTES || until > content.length) return undefined
  if (content.length - until > MAX_FIRST_BYTES) return undefined
  return { open: content.subarray(OPEN_SIZE_BYTES, until), first: content.subarray(until) }
}

/** How many bytes of the flow a record has. */
export function flowBytesIn(kind: Kind, content: Buffer): number {
  if (kind === Kind.Data || kind === Kind.GrantedWith) return content.length
  return kind === Kind.OpenWith ? content.length - OPEN_SIZE_BYTES - content.readUInt16BE() : 0
}

/** Writes the header of a record, which is sealed along with its content. */
export function writeHeader(kind: Kind, size: number, out: Buffer): void {
  out.writeUInt32BE(kind * 2 ** 24 + size, 0)
}

/**
 * Reads a record's header; undefined unless `bytes` begins with a permitted one: then the connection is not read
 * further.
 */
export function readHeader(bytes: Buffer): { readonly kind: Kind; readonly size: number } | undefined {
  const kind = bytes[0] ?? 0
  const size = bytes.readUIntBE(1, 3)
  if (!isKind(kind) || size > maxSize(kind) || (kind === Kind.Start && size !== OFFSET_BYTES)) return undefined
  return { kind, size }
}

function isKind(kind: number): kind is Kind {
  return KINDS.has(kind)
}

function maxSize(kind: Kind): number {
  switch (kind) {
    case Kind.Data:
      return MAX_CONTENT_BYTES
    case Kind.Start:
      return OFFSET_BYTES
    case Kind.Open:
    case Kind.Refused:
      return MAX_MESSAGE_BYTES
    case Kind.OpenWith:
      return OPEN_SIZE_BYTES + MAX_MESSAGE_BYTES + MAX_FIRST_BYTES
    case Kind.GrantedWith:
      return MAX_FIRST_BYTES
    default:
      return 0
  }
}

/**
 * Whether `id` in a preamble is that of a pooled fast-path connection: streams that a client opens have odd ones (RFC
 * 9113, 5.1.1).
 */
export function isPooled(id: number): boolean {
  return id > 0 && id % 2 === 0
}
