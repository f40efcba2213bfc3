import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { HostPort } from '../core/index.ts'

/**
 * Where others reach a listener of this host: `advertise` if given, else the bound address, else every address of the
 * interfaces that a wildcard covers.
 *
 * Link-local addresses are left out, since they mean nothing without an interface; loopback is used only when there is
 * nothing else, as on a machine without a network.
 */
export function reachableHosts(bound: string, advertise: readonly string[] | undefined): string[] {
  if (advertise !== undefined && advertise.length > 0) return [...advertise]
  if (bound !== '0.0.0.0' && bound !== '::') return [bound]
  const entries = Object.values(networkInterfaces()).flatMap(list => list ?? [])
  const usable = entries.filter(
    entry => (bound === '::' || entry.family === 'IPv4') && !entry.address.startsWith('fe80')
  )
  const external = usable.filter(entry => !entry.internal)
  return (external.length > 0 ? external : usable).map(entry => entry.address)
}

/** Multiaddr of a TCP listener on `host`. */
export function tcpMultiaddr({ host, port }: HostPort): string {
  const family = isIP(host)
  const kind = family === 4 ? 'ip4' : family === 6 ? 'ip6' : 'dns'
  return `/${kind}/${host}/tcp/${port}`
}
