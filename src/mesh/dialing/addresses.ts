import { isIP } from 'node:net'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { ErrorCode, type HostPort, WarrenError } from '../../core/index.ts'
import { type PeerKey, parsePeerKey } from '../../identity/index.ts'
import { MAX_ADDRESS_LENGTH } from '../limits.ts'

/** A possible address of a peer: `address` has no `/p2p/`; `peer` is absent if the address does not name one. */
export interface PeerAddress {
  readonly address: string
  readonly peer: PeerKey | undefined
}

/** Splits a multiaddr over TCP. Throws INVALID_ARGUMENT for any other text, however long. */
export function parsePeerAddress(text: string): PeerAddress {
  const refused = (why: string, cause?: unknown): WarrenError =>
    new WarrenError(ErrorCode.InvalidArgument, `"${text.slice(0, MAX_ADDRESS_LENGTH)}" is not a mesh address: ${why}`, {
      cause,
      hint: 'Use a multiaddr such as /ip4/192.0.2.7/tcp/7460/p2p/12D3KooW….'
    })
  if (text.length > MAX_ADDRESS_LENGTH) throw refused('too long')
  let whole: Multiaddr
  try {
    whole = multiaddr(text)
  } catch (cause) {
    throw refused('not a multiaddr', cause)
  }
  const { zone, host, rest: after } = hostOf(whole)
  const [port, p2p, ...rest] = after
  if (host === undefined || !['ip4', 'ip6', 'dns', 'dns4', 'dns6'].includes(host.name)) throw refused('no host')
  if (port?.name !== 'tcp' || Number(port.value) === 0) throw refused('no TCP port')
  if (rest.length > 0 || (p2p !== undefined && p2p.code !== CODE_P2P)) throw refused('more than host, port and peer')
  const peer = p2p?.value === undefined ? undefined : parsePeerKey(p2p.value)
  return { address: `${zone}/${host.name}/${host.value}/tcp/${port.value}`, peer }
}

/** The parts of a multiaddr; an IPv6 address may have the zone of its interface before it. */
function hostOf(whole: Multiaddr) {
  const [first, ...others] = whole.getComponents()
  if (first?.name !== 'ip6zone' || others[0]?.name !== 'ip6') return { zone: '', host: first, rest: others }
  const [host, ...rest] = others
  return { zone: `/ip6zone/${first.value}`, host, rest }
}

/** Where to connect for an address of `parsePeerAddress`; `family` is the only one that a name is looked up in. */
export function socketAddress(address: string): HostPort & { readonly family?: 4 | 6 } {
  const { zone, host, rest } = hostOf(multiaddr(address))
  const name = `${host?.value ?? ''}${zone.replace('/ip6zone/', '%')}`
  const family = host?.name === 'dns4' ? 4 : host?.name === 'dns6' ? 6 : undefined
  return { host: name, port: Number(rest[0]?.value), ...(family === undefined ? {} : { family }) }
}

/** The multiaddr that libp2p dials. */
export function dialAddress(address: string, peer: PeerKey | undefined): Multiaddr {
  return multiaddr(peer === undefined ? address : `${address}/p2p/${peer}`)
}

/** The multiaddr to listen at. INVALID_OPTION unless `host` is an IP address. */
export function listenAddress({ host, port }: HostPort): string {
  const family = isIP(host)
  if (family === 0 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new WarrenError(ErrorCode.InvalidOption, `cannot listen at "${host}:${port}"`, {
      hint: 'Listen at an IP address, such as 0.0.0.0, and a port from 0 to 65535.'
    })
  }
  return `/ip${family}/${host}/tcp/${port}`
}

/** The addresses for other hosts: `hosts` with the port of this mesh, all naming `self`. Empty until it listens. */
export function advertised(hosts: readonly string[], listening: readonly Multiaddr[], self: PeerKey): Multiaddr[] {
  const port = listening.flatMap(address => address.getComponents()).find(part => part.name === 'tcp')?.value
  if (port === undefined) return []
  return hosts.map(host => {
    const family = isIP(host)
    return dialAddress(`/${family === 0 ? 'dns' : `ip${family}`}/${host}/tcp/${port}`, self)
  })
}
