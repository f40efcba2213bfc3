import { createHash } from 'node:crypto'
import { bootstrap } from '@libp2p/bootstrap'
import type { PeerDiscovery, PeerInfo, Startable } from '@libp2p/interface'
import type { Logger } from '../../core/index.ts'
import { LanDiscovery } from './lan-discovery.ts'

type Components = Parameters<ReturnType<typeof bootstrap>>[0] & {
  readonly addressManager: { getAddresses(): Array<{ toString(): string }> }
}

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
  readonly log: Logger
}

/** What was started; `refresh` is called when the machine has another network. */
export interface Discovery extends Startable {
  refresh(): void
}

/**
 * mDNS and bootstrap, as a service that reports only to this mesh.
 *
 * As ordinary `peerDiscovery` modules they would also write every answer of the local network, true or not, into
 * libp2p's peer store, which has no bound.
 */
export function discovery(options: DiscoveryOptions): (components: Components) => Discovery {
  return components => {
    const modules: Startable[] = []
    const listen = (module: PeerDiscovery & Partial<Startable>, found: (multiaddrs: string[]) => void): void => {
      module.addEventListener('peer', (event: CustomEvent<PeerInfo>) => {
        const { id, multiaddrs } = event.detail
        found(multiaddrs.map(address => withPeer(address.toString(), id.toString())))
      })
      modules.push(module as Startable)
    }
    const lan = new LanDiscovery({
      serviceTag: serviceTag(options.trustDomain),
      addresses: () => components.addressManager.getAddresses().map(String),
      onFound: options.onHint,
      log: options.log
    })
    if (options.bootstrap.length > 0) listen(bootstrap({ list: [...options.bootstrap] })(components), options.onSeed)
    return {
      start: async () => {
        if (options.mdns) lan.start()
        await Promise.all(modules.map(module => module.start()))
      },
      refresh: () => {
        if (options.mdns) lan.refresh()
      },
      stop: async () => {
        lan.stop()
        await Promise.all(modules.map(module => module.stop()))
      }
    }
  }
}

function withPeer(address: string, peer: string): string {
  return address.includes('/p2p/') ? address : `${address}/p2p/${peer}`
}
