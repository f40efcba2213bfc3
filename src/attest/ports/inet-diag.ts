import { isIPv6 } from 'node:net'
import type { HostPort, Protocol } from '../../core/index.ts'
import { addressBytes } from './address-bytes.ts'

// include/uapi/linux/{netlink,sock_diag,inet_diag}.h; the same on every little-endian processor.
const SOCK_DIAG_BY_FAMILY = 20
const NLMSG_ERROR = 2
const NLM_F_REQUEST = 1
const AF_INET = 2
const AF_INET6 = 10
const IPPROTO = { tcp: 6, udp: 17 } as const
const HEADER_BYTES = 16
const REQUEST_BYTES = HEADER_BYTES + 56
const MESSAGE_BYTES = HEADER_BYTES + 72
/** INET_DIAG_NOCOOKIE: any socket. */
const NO_COOKIE = 0xffff_ffff
/** The loopback device of every network namespace, over which all that is for this host itself goes. */
const LOOPBACK_INDEX = 1
const ENOENT = 2

/** TCP_LISTEN of include/net/tcp_states.h. */
export const STATE_LISTEN = 10

/** The holder of a port of this host. */
export interface PortQuestion extends HostPort {
  readonly protocol: Protocol
  /**
   * Where the packets come from: the kernel then names the very socket that gets them. For UDP it may be one that another
   * program connected to this sender; for TCP it is the server's end of this connection, never the listener.
   * @default from nowhere in particular
   */
  readonly from?: HostPort | undefined
}

/** The socket that holds a port. */
export interface PortHolder {
  /** The user who made the socket, which may have been handed on since: systemd makes its own as root. */
  readonly uid: number
  readonly inode: number
  /** One for each socket since the system started. */
  readonly cookie: bigint
  /** A number of `net/tcp_states.h`. */
  readonly state: number
  /** Of a listener of TCP: connections that its program has not accepted yet. */
  readonly waiting: number
}

export type Answer =
  | { readonly kind: 'holder'; readonly holder: PortHolder; readonly port: number; readonly peerPort: number }
  | { readonly kind: 'nobody' }
  | { readonly kind: 'failed'; readonly errno: number }
  /** An answer to another question, or none at all. */
  | { readonly kind: 'other' }

/** `struct nlmsghdr` and `struct inet_diag_req_v2` that ask for exactly one socket. Throws RangeError for no address. */
export function encodeQuestion({ protocol, host, port, from }: PortQuestion, sequence: number): Buffer {
  const is6 = isIPv6(host)
  const message = Buffer.alloc(REQUEST_BYTES)
  message.writeUInt32LE(REQUEST_BYTES, 0)
  message.writeUInt16LE(SOCK_DIAG_BY_FAMILY, 4)
  message.writeUInt16LE(NLM_F_REQUEST, 6)
  message.writeUInt32LE(sequence, 8)
  const request = message.subarray(HEADER_BYTES)
  request.writeUInt8(is6 ? AF_INET6 : AF_INET, 0)
  request.writeUInt8(IPPROTO[protocol], 1)
  request.writeUInt32LE(NO_COOKIE, 4)
  // The question about UDP names the sender first, as a packet does; that about TCP the socket's own end.
  const ends = protocol === 'udp' ? [from, { host, port }] : [{ host, port }, from]
  for (const [index, end] of ends.entries()) {
    if (end === undefined) continue
    request.writeUInt16BE(end.port, 8 + 2 * index)
    request.set(addressBytes(end.host, is6), 12 + 16 * index)
  }
  request.writeUInt32LE(LOOPBACK_INDEX, 44)
  request.writeUInt32LE(NO_COOKIE, 48)
  request.writeUInt32LE(NO_COOKIE, 52)
  return message
}

/** The answer of the kernel. */
export function decodeAnswer(bytes: Buffer, sequence: number): Answer {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(8) !== sequence) return { kind: 'other' }
  const length = bytes.readUInt32LE(0)
  const type = bytes.readUInt16LE(4)
  if (type === NLMSG_ERROR && length >= HEADER_BYTES + 4 && bytes.length >= HEADER_BYTES + 4) {
    const errno = -bytes.readInt32LE(HEADER_BYTES)
    return errno === ENOENT ? { kind: 'nobody' } : { kind: 'failed', errno }
  }
  if (type !== SOCK_DIAG_BY_FAMILY || length < MESSAGE_BYTES || bytes.length < MESSAGE_BYTES) return { kind: 'other' }
  const message = bytes.subarray(HEADER_BYTES)
  const holder = {
    state: message.readUInt8(1),
    cookie: message.readBigUInt64LE(44),
    waiting: message.readUInt32LE(56),
    uid: message.readUInt32LE(64),
    inode: message.readUInt32LE(68)
  }
  return { kind: 'holder', holder, port: message.readUInt16BE(4), peerPort: message.readUInt16BE(6) }
}
