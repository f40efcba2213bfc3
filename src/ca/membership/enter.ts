import { randomBytes } from 'node:crypto'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  JOIN_ALPN,
  type JoinToken,
  join,
  keyToPem,
  type PeerKey
} from '../../identity/index.ts'
import { type Vault, VaultFile } from '../../state/index.ts'
import { encodeChain } from './chain-file.ts'
import { dialAgent } from './dial.ts'

/**
 * Joins the trust domain of a token and writes the membership; returns addresses at which members can be dialled.
 *
 * Nothing is written before the authority's answer is verified, and the node chain is written last, so that an
 * interrupted join leaves no partial membership. `beforeMember` is called just before that. Throws like `join` of identity.
 */
export async function enter(
  vault: Vault,
  token: JoinToken,
  nowMs: () => number,
  signal: AbortSignal,
  beforeMember: (peer: PeerKey) => void
): Promise<readonly string[]> {
  const peerKey = generatePeerKeyPair()
  const nodeKey = generateSigningKeyPair()
  const connect = (address: string, limit: AbortSignal) => dialAgent(address, JOIN_ALPN, limit)
  const joined = await join({ token, peerKey, nodeKey, connect, nowMs, signal })
  vault.write(VaultFile.RootFingerprint, joined.rootSha256)
  vault.write(VaultFile.PeerKey, keyToPem(peerKey))
  vault.write(VaultFile.NodeKey, keyToPem(nodeKey))
  vault.write(VaultFile.NodeSecret, randomBytes(32))
  vault.write(VaultFile.TrustBundle, joined.trustBundle)
  beforeMember(joined.node.peer)
  vault.write(VaultFile.NodeChain, encodeChain(joined.node.chainDer))
  return joined.meshAddresses
}
