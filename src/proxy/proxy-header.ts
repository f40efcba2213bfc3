import { isIPv4, isIPv6 } from 'node:net'
import type { HostPort } from '../core/index.ts'

// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, section 2.2.
const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
const VERSION_PROXY = 0x21
const FAMILY = { unspecified: 0x00, tcp4: 0x11, tcp6: 0x21 } as const
const TYPE_UNIQUE_ID = 0x05
/** The first of the types that the specification leaves to applications. */
export const TYPE_SPIFFE_ID = 0xe0
/** What the ends of a unix socket are said to be: HAProxy and go-proxyproto refuse a header of the family AF_UNIX. */
const LOOPBACK: HostPort = { host: '127.0.0.1', port: 0 }

export interface ProxySource {
  readonly spiffeId: string
  readonly flowId: string
}

/** The two ends of the connection that the header opens. */
export type ProxyEnds =
  | { readonly kind: 'tcp'; readonly from: HostPort; readonly to: HostPort }
  | { readonly kind: 'unix' }

/**
 * Makes a PROXY protocol v2 header that names the source: its SPIFFE ID in a TLV of type 0xE0, the flow in
 * PP2_TYPE_UNIQUE_ID.
 *
 * The addresses are those of the connection itself, and 127.0.0.1 with port 0 at both ends for a unix socket. A workload has
 * no address that would be useful to a server.
 */
export function proxyHeader(ends: ProxyEnds, source: ProxySource): Buffer {
  const { family, addresses } = addressesOf(ends)
  const tlvs = [tlv(TYPE_UNIQUE_ID, source.flowId), tlv(TYPE_SPIFFE_ID, source.spiffeId)]
  return header(family, Buffer.concat([addresses, ...tlvs]))
}

function header(family: number, body: Buffer): Buffer {
  const head = Buffer.alloc(4)
  head.writeUInt8(VERSION_PROXY, 0)
  head.writeUInt8(family, 1)
  head.writeUInt16BE(body.length, 2)
  return Buffer.concat([SIGNATURE, head, body])
}

function addressesOf(ends: ProxyEnds): { family: number; addresses: Buffer } {
  const { from, to } = ends.kind === 'unix' ? { from: LOOPBACK, to: LOOPBACK } : ends
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(from.port, 0)
  ports.writeUInt16BE(to.port, 2)
  const hosts = [from.host, to.host]
  if (hosts.every(isIPv4)) {
    return { family: FAMILY.tcp4, addresses: Buffer.concat([...hosts.map(v4Bytes), ports]) }
  }
  if (hosts.every(isIPv6)) {
    return { family: FAMILY.tcp6, addresses: Buffer.concat([...hosts.map(v6Bytes), ports]) }
  }
  return { family: FAMILY.unspecified, addresses: Buffer.alloc(0) }
}

function tlv(type: number, text: string): Buffer {
  const value = Buffer.from(text)
  const head = Buffer.alloc(3)
  head.writeUInt8(type, 0)
  head.writeUInt16BE(value.length, 1)
  return Buffer.concat([head, value])
}

function v4Bytes(host: string): Buffer {
  return Buffer.from(host.split('.').map(Number))
}

function v6Bytes(host: string): Buffer {
  // The URL parser writes the canonical form, which has no dotted tail.
  const canonical = new URL(`http://[${host.split('%')[0] ?? ''}]/`).hostname.slice(1, -1)
  const [front = '', back] = canonical.split('::')
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16))
  const head = groups(front)
  const tail = groups(back ?? '')
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]
  return Buffer.concat(all.map(group => Buffer.from([group >> 8, group & 0xff])))
}
