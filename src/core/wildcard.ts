import { createServer } from 'node:net'
import { networkInterfaces } from 'node:os'

/** The wildcard address that stands for both families, or for IPv4 on a machine without IPv6. */
export async function wildcard(): Promise<'::' | '0.0.0.0'> {
  // Switched off, as by a sysctl: a listener at [::] can be made, but libp2p finds no address of it.
  if (!Object.values(networkInterfaces()).some(list => list?.some(({ family }) => family === 'IPv6'))) return '0.0.0.0'
  const probe = createServer()
  const listening = Promise.withResolvers<boolean>()
  probe.once('error', () => listening.resolve(false)).listen({ host: '::', port: 0 }, () => listening.resolve(true))
  const hasIpv6 = await listening.promise
  if (hasIpv6) probe.close()
  return hasIpv6 ? '::' : '0.0.0.0'
}
