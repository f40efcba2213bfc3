import { isIPv6 } from 'node:net'
import type { HostPort } from '../core/index.ts'

/**
 * The frames of SOCKS5 (https://www.rfc-editor.org/rfc/rfc1928) for a server. Pure: bytes in, values out.
 *
 * Each decoder is given the bytes so far and answers with a value, with the number of bytes that it needs at least, or with the
 * fault. So a reader takes exactly the bytes of a frame, at most 262, and leaves what follows.
 */
export const SOCKS_VERSION = 5
/** The only method of authentication that is offered: none, since the kernel names the caller. */
export const NO_AUTHENTICATION = 0
export const MAX_FRAME_BYTES = 262

export type Decoded<T> =
  | { readonly kind: 'done'; readonly value: T; readonly bytes: number }
  | { readonly kind: 'more'; readonly bytes: number }
  | { readonly kind: 'malformed'; readonly why: string }

export type SocksCommand = 'connect' | 'bind' | 'udp-associate' | 'unknown'

export interface SocksRequest {
  readonly command: SocksCommand
  /** A name as the client sent it, one character for each byte, or the words for an address, which leads nowhere. */
  readonly host: { readonly kind: 'name' | 'address'; readonly text: string }
  readonly port: number
}

/** Replies of section 6. */
export const SocksReply = {
  Succeeded: 0,
  Failed: 1,
  NotAllowed: 2,
  NetworkUnreachable: 3,
  HostUnreachable: 4,
  Refused: 5,
  Expired: 6,
  CommandNotSupported: 7,
  AddressNotSupported: 8
} as const
export type SocksReply = (typeof SocksReply)[keyof typeof SocksReply]

const COMMANDS: Readonly<Record<number, SocksCommand>> = { 1: 'connect', 2: 'bind', 3: 'udp-associate' }
const IPV4 = 1
const NAME = 3
const IPV6 = 4
/** Version, command, a reserved byte, the type of the address. */
const HEAD_BYTES = 4
const PORT_BYTES = 2
const NOWHERE: HostPort = { host: '0.0.0.0', port: 0 }

/** Whether the client offers to come without authentication. */
export function decodeGreeting(bytes: Uint8Array): Decoded<boolean> {
  const [version, count] = bytes
  if (version !== undefined && version !== SOCKS_VERSION) return malformed(`version ${version} and not 5`)
  if (count === undefined) return { kind: 'more', bytes: 2 }
  if (count === 0) return malformed('no method of authentication')
  const size = 2 + count
  if (bytes.length < size) return { kind: 'more', bytes: size }
  return { kind: 'done', value: bytes.subarray(2, size).includes(NO_AUTHENTICATION), bytes: size }
}

export function decodeRequest(bytes: Uint8Array): Decoded<SocksRequest> {
  const [version, command, reserved, type, length] = bytes
  if (version !== undefined && version !== SOCKS_VERSION) return malformed(`version ${version} and not 5`)
  if (reserved !== undefined && reserved !== 0) return malformed(`reserved byte ${reserved} and not 0`)
  // The shortest request names a host by one letter.
  if (command === undefined || type === undefined || length === undefined)
    return { kind: 'more', bytes: HEAD_BYTES + 1 }
  const host = hostSize(type, length)
  if (host === undefined) return malformed(`type of address ${type}`)
  if (host === 1) return malformed('a name without a letter')
  const size = HEAD_BYTES + host + PORT_BYTES
  if (bytes.length < size) return { kind: 'more', bytes: size }
  const field = Buffer.from(bytes.subarray(HEAD_BYTES, HEAD_BYTES + host))
  const port = Buffer.from(bytes.subarray(size - PORT_BYTES, size)).readUInt16BE()
  return {
    kind: 'done',
    bytes: size,
    value: {
      command: COMMANDS[command] ?? 'unknown',
      host:
        type === NAME
          ? { kind: 'name', text: field.subarray(1).toString('latin1') }
          : { kind: 'address', text: type === IPV4 ? field.join('.') : `IPv6 ${field.toString('hex')}` },
      port
    }
  }
}

/** The choice of "no authentication", or that nothing offered is acceptable. */
export function encodeChoice(isAcceptable: boolean): Buffer {
  return Buffer.from([SOCKS_VERSION, isAcceptable ? NO_AUTHENTICATION : 0xff])
}

/** An answer to a request. `at` is where the client sends its datagrams; a flow of TCP has no address that a client could use. */
export function encodeReply(reply: SocksReply, at: HostPort = NOWHERE): Buffer {
  const address = isIPv6(at.host) ? addressOfLoopback6(at.host) : at.host.split('.').map(Number)
  return Buffer.from([SOCKS_VERSION, reply, 0, isIPv6(at.host) ? IPV6 : IPV4, ...address, at.port >> 8, at.port & 0xff])
}

/** No other address of IPv6 is one of the host alone. */
function addressOfLoopback6(host: string): number[] {
  if (host !== '::1') throw new RangeError(`${host} is no loopback address`)
  return [...Array<number>(15).fill(0), 1]
}

/** Bytes of the host, with the length in front of a name. */
function hostSize(type: number, length: number): number | undefined {
  if (type === IPV4) return 4
  if (type === IPV6) return 16
  return type === NAME ? 1 + length : undefined
}

function malformed(why: string): Decoded<never> {
  return { kind: 'malformed', why }
}
