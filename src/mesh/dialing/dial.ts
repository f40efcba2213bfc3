import type { Socket } from 'node:net'
import type { Libp2p } from '@libp2p/interface'
import { connectTcp, DIAL_STAGGER_MS, raceStaggered, sleep } from '../../core/index.ts'
import type { PeerKey } from '../../identity/index.ts'
import { peerKeyFromId } from '../keys.ts'
import type { StagedSockets } from '../libp2p-shims/index.ts'
import { DIAL_POLL_MS } from '../limits.ts'
import { dialAddress, socketAddress } from './addresses.ts'

type Node = Pick<Libp2p, 'dial' | 'getDialQueue'>

/** An address at which something accepts connections, which need not be the wanted host. */
export interface Reached {
  readonly address: string
  readonly socket: Socket
}

/**
 * The first of these addresses that accepts a connection; each attempt begins a little after the one before, or as soon as that has
 * failed. `failed` receives each address that did not accept one. Rejects with the last failure, or the signal's reason.
 */
export async function reach(
  addresses: readonly string[],
  failed: (address: string) => void,
  signal: AbortSignal
): Promise<Reached> {
  const attempts = addresses.map(address => async (limit: AbortSignal): Promise<Reached> => {
    try {
      const socket = await connectTcp({ ...socketAddress(address), noDelay: true, keepAlive: true }, limit)
      // Until libp2p has it, nobody else listens; a socket that fails is closed, and libp2p finds that.
      return { address, socket: socket.on('error', () => {}) }
    } catch (err) {
      if (!limit.aborted) failed(address)
      throw err
    }
  })
  return await raceStaggered(attempts, DIAL_STAGGER_MS, signal, ({ socket }) => socket.destroy())
}

/** Makes a connection of the mesh out of one that was reached; resolves to the host there, which must be `peer` if that is given. */
export async function dial(
  { node, staged }: { readonly node: Node; readonly staged: StagedSockets },
  { address, socket }: Reached,
  peer: PeerKey | undefined,
  signal: AbortSignal
): Promise<PeerKey> {
  const target = dialAddress(address, peer)
  const drop = staged.stage(target, socket)
  try {
    await settled(node, peer, target.toString(), signal)
    const connection = await node.dial(target, { signal })
    return peerKeyFromId(connection.remotePeer)
  } finally {
    drop()
  }
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
