import type { Libp2p } from '@libp2p/interface'
import { sleep } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { peerKeyFromId } from '../keys.ts'
import { DIAL_POLL_MS } from '../limits.ts'
import { dialAddress } from './addresses.ts'

type Node = Pick<Libp2p, 'dial' | 'getDialQueue'>

/** Connects to an address and resolves to the host there, which must be `peer` if that is given. */
export async function dial(
  node: Node,
  address: string,
  peer: PeerKey | undefined,
  signal: AbortSignal
): Promise<PeerKey> {
  const target = dialAddress(address, peer)
  await settled(node, peer, target.toString(), signal)
  const connection = await node.dial(target, { signal })
  return peerKeyFromId(connection.remotePeer)
}

// Resolves once libp2p has no dial to that host in progress. It would join a new dial to the old one, and both would fail:
// an address that timed out would make the next one fail too.
async function settled(node: Node, peer: PeerKey | undefined, address: string, signal: AbortSignal): Promise<void> {
  const pending = (): boolean =>
    node.getDialQueue().some(queued => {
      if (peer !== undefined) return queued.peerId?.toString() === peer
      return queued.multiaddrs.some(other => other.toString() === address)
    })
  while (pending()) await sleep(DIAL_POLL_MS, signal)
}
