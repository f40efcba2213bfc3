import type { Identify } from '@libp2p/identify'
import type { Connection, Libp2pEvents, PeerStore, Startable, TypedEventTarget } from '@libp2p/interface'
import { detach, type Logger } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { peerKeyFromId } from '../keys.ts'
import { IDENTIFY_AFTER_MS } from '../limits.ts'

interface Components {
  readonly events: TypedEventTarget<Libp2pEvents>
  readonly peerStore: Pick<PeerStore, 'merge'>
  readonly registrar: { readonly getProtocols: () => string[]; readonly getTopologies: (protocol: string) => unknown[] }
}

export interface IntroductionsOptions {
  /** Whether addresses of a connected host are known. */
  readonly hasAddressesOf: (peer: PeerKey) => boolean
  readonly identify: () => Pick<Identify, 'identify'>
  readonly log: Logger
}

/**
 * Introduces each admitted host to the services of libp2p without asking it.
 *
 * libp2p asks each new connection for protocols and addresses. That cost a pair of hosts two streams, two signatures and their
 * verification, a fifth of what a connection costs the mesh (docs/decisions/0095), and told nothing new: an admitted host is an
 * agent, which gossips, and the registry has its addresses.
 * Only a host whose addresses are still unknown after five seconds is asked. Agents answer those that ask, as ever.
 */
export function introductions({ hasAddressesOf, identify, log }: IntroductionsOptions) {
  return ({ events, peerStore, registrar }: Components): Startable => {
    const timers = new Set<NodeJS.Timeout>()

    const introduce = async (connection: Connection): Promise<void> => {
      const { remotePeer: peerId } = connection
      const protocols = registrar.getProtocols().filter(protocol => registrar.getTopologies(protocol).length > 0)
      // The registrar looks there for whom to tell when the host leaves.
      await peerStore.merge(peerId, { protocols })
      if (connection.status !== 'open') return
      events.safeDispatchEvent('peer:identify', { detail: { peerId, protocols, listenAddrs: [], connection } })
    }

    const askLater = (connection: Connection): void => {
      const timer = setTimeout(() => {
        timers.delete(timer)
        if (connection.status !== 'open' || hasAddressesOf(peerKeyFromId(connection.remotePeer))) return
        const asked = identify().identify(connection)
        asked.catch((err: unknown) => log.debug('identify failed', { peer: connection.remotePeer.toString(), err }))
      }, IDENTIFY_AFTER_MS)
      timers.add(timer.unref())
    }

    const onOpen = ({ detail: connection }: CustomEvent<Connection>): void => {
      detach(log, 'introduction of a host', introduce(connection))
      askLater(connection)
    }

    return {
      start: () => events.addEventListener('connection:open', onOpen),
      stop: () => {
        events.removeEventListener('connection:open', onOpen)
        for (const timer of timers) clearTimeout(timer)
        timers.clear()
      }
    }
  }
}
