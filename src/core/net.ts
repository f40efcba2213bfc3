import { isIP } from 'node:net'
import { ErrorCode, WarrenError } from './errors.ts'

/** The kind of a connection between two workloads: bytes or datagrams. */
export type Protocol = 'tcp' | 'udp'

/** One end of a TCP or UDP path: a name or an IP address without brackets, and a port. */
export interface HostPort {
  readonly host: string
  readonly port: number
}

/** Longest path of a unix socket, bytes: sun_path (108 on Linux, 104 on the BSDs) without its terminating zero. */
export const MAX_SOCKET_PATH_BYTES: number = process.platform === 'linux' ? 107 : 103

// An IPv6 address that is valid on one link only has the zone of its interface: [fe80::1%eth0].
const HOST_PORT = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([^:[\]/\s]*)):(\d{1,5})$/

export interface ParseHostPortOptions {
  /** Option that the text was given for; begins the error. @default none */
  readonly option?: string
  /** Host if the text names none. @default 127.0.0.1 */
  readonly defaultHost?: string
}

/** Parses `host:port`, `[v6]:port` or `:port`. Throws INVALID_ARGUMENT with the right form. */
export function parseHostPort(text: string, options: ParseHostPortOptions = {}): HostPort {
  const { option, defaultHost = '127.0.0.1' } = options
  const match = HOST_PORT.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) {
    const subject = option === undefined ? '' : `${option} `
    throw new WarrenError(ErrorCode.InvalidArgument, `${subject}"${text.slice(0, 80)}" is not HOST:PORT`, {
      hint: 'Write it as 127.0.0.1:8080 or [::1]:8080; port 0 picks a free one.'
    })
  }
  const host = match[1] ?? match[2] ?? ''
  return { host: host === '' ? defaultHost : host, port }
}

/** Form of an IPv4 address on a socket of both families. */
const MAPPED = /^::ffff:(?=\d+\.)/i

/** The usual text of an address that a socket of both families has or sees: 192.0.2.1 for ::ffff:192.0.2.1. */
export function withoutMapping(address: string): string {
  return address.replace(MAPPED, '')
}

/** Whether a host is an address or the name of the machine itself, which no other machine reaches. */
export function isLoopback(host: string): boolean {
  return host === '::1' || host.toLowerCase() === 'localhost' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatHostPort({ host, port }: HostPort): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}

const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/**
 * The network that counts as one for bounds on unknown peers: an IPv4 address, or the /64 of an IPv6 address, since one host can
 * have all addresses of a /64. Other text is returned as it is.
 */
export function networkOf(address: string): string {
  const mapped = MAPPED_IPV4.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const [literal = ''] = address.split('%')
  if (isIP(literal) !== 6) return address
  const [front = '', back] = literal.split('::')
  const groups = groupsOf(front)
  const tail = back === undefined ? [] : groupsOf(back)
  const zeros =
    back === undefined ? [] : Array.from({ length: Math.max(0, 8 - groups.length - tail.length) }, () => '0')
  const prefix = [...groups, ...zeros, ...tail].slice(0, 4).map(group => group.toLowerCase().replace(/^0+(?=.)/, ''))
  return `${prefix.join(':')}::/64`
}

// A dotted end stands for two groups.
function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':').flatMap(group => (group.includes('.') ? ['0', '0'] : [group]))
}

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/

/** The one form of HOST:PORT that names a server of another host: in lower case. Throws INVALID_ARGUMENT. */
export function gatewayName(text: string): string {
  const { host, port } = parseHostPort(text.toLowerCase(), { defaultHost: 'localhost' })
  if (port > 0 && !isLoopback(host) && (isIP(host) !== 0 ? !host.includes('%') : HOST_NAME.test(host))) {
    return formatHostPort({ host, port })
  }
  throw new WarrenError(ErrorCode.InvalidArgument, `"${text.slice(0, 80)}" names no server of another host`, {
    hint: 'Write it as db.example.net:5432 or 192.0.2.7:5432.'
  })
}
