import { createHash } from 'node:crypto'
import { bootstrap } from '@libp2p/bootstrap'
import type { PeerDiscovery, PeerInfo, Startable } from '@libp2p/interface'
import { mdns } from '@libp2p/mdns'

type Components = Parameters<ReturnType<typeof mdns>>[0] & Parameters<ReturnType<typeof bootstrap>>[0]

/**
 * The name under which agents look for each other on the local network. Members of a trust domain agree on it, and others
 * cannot read the trust domain from it.
 */
export function serviceTag(trustDomain: string): string {
  const digest = createHash('sha256').update(`warren-mdns-v1\0${trustDomain}`).digest('hex')
  return `_w${digest.slice(0, 14)}._udp.local`
}

export interface DiscoveryOptions {
  readonly trustDomain: string
  readonly mdns: boolean
  /** Multiaddrs with `/p2p/`. */
  readonly bootstrap: readonly string[]
  readonly onSeed: (multiaddrs: string[]) => void
  /** Anybody on the local network can make this report anything. */
  readonly onHint: (multiaddrs: string[]) => void
}

/**
 * mDNS and bootstrap, as a service that reports only to this mesh.
 *
 * As ordinary `peerDiscovery` modules they would also write every answer of the local network, true or not, into
 * libp2p's peer store, which has no bound.
 */
export function discovery(options: DiscoveryOptions): (components: Components) => Startable {
  return components => {
    const modules: Startable[] = []
    const listen = (module: PeerDiscovery & Partial<Startable>, found: (multiaddrs: string[]) => void): void => {
      module.addEventListener('peer', (event: CustomEvent<PeerInfo>) => {
        const { id, multiaddrs } = event.detail
        found(multiaddrs.map(address => withPeer(address.toString(), id.toString())))
      })
      modules.push(module as Startable)
    }
    if (options.mdns) listen(mdns({ serviceTag: serviceTag(options.trustDomain) })(components), options.onHint)
    if (options.bootstrap.length > 0) listen(bootstrap({ list: [...options.bootstrap] })(components), options.onSeed)
    return {
      start: async () => {
        await Promise.all(modules.map(module => module.start()))
      },
      stop: async () => {
        await Promise.all(modules.map(module => module.stop()))
      }
    }
  }
}

function withPeer(address: string, peer: string): string {
  return address.includes('/p2p/') ? address : `${address}/p2p/${peer}`
}
