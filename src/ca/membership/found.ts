import { createHash, createPublicKey, randomBytes } from 'node:crypto'
import {
  generatePeerKeyPair,
  generateSigningKeyPair,
  issueAuthority,
  issueNode,
  issueRoot,
  keyToPem,
  type PeerKey,
  peerKeyOf,
  rawPublicKey,
  signBinding,
  signTrustBundle,
  spkiSha256
} from '../../identity/index.ts'
import { type Vault, VaultFile } from '../../state/index.ts'
import type { Lifetimes } from '../lifetimes.ts'
import { encodeChain } from './chain-file.ts'

/**
 * Founds a trust domain on this host: makes the root, the first authority, the admin key and the host's own CA.
 *
 * The node chain is written last: until then the host has no membership, and an interrupted founding starts
 * again. `beforeMember` is called just before that.
 */
export async function found(
  vault: Vault,
  trustDomain: string,
  machine: string,
  lifetimes: Lifetimes,
  nowMs: number,
  beforeMember: (peer: PeerKey) => void = () => {}
): Promise<void> {
  const rootKey = generateSigningKeyPair()
  const authorityKey = generateSigningKeyPair()
  const nodeKey = generateSigningKeyPair()
  const peerKey = generatePeerKeyPair()
  const adminKey = generatePeerKeyPair()
  const root = await issueRoot({ trustDomain, key: rootKey, nowMs })
  const authority = await issueAuthority({
    trustDomain,
    root: { certificate: root, key: rootKey },
    publicKey: createPublicKey(authorityKey),
    lifetimeMs: lifetimes.authorityMs,
    nowMs
  })
  const nodePublicKey = createPublicKey(nodeKey)
  const node = await issueNode({
    trustDomain,
    machine,
    authority: { certificate: authority, key: authorityKey },
    publicKey: nodePublicKey,
    binding: signBinding({ trustDomain, machine, scopes: [], nodeKeySha256: spkiSha256(nodePublicKey) }, peerKey),
    lifetimeMs: lifetimes.nodeMs,
    nowMs
  })
  const adminPublicKey = rawPublicKey(adminKey)
  vault.write(VaultFile.RootKey, keyToPem(rootKey))
  vault.write(VaultFile.RootFingerprint, createHash('sha256').update(root).digest('hex'))
  vault.write(VaultFile.AuthorityKey, keyToPem(authorityKey))
  vault.write(VaultFile.AdminKey, keyToPem(adminKey))
  vault.write(VaultFile.PeerKey, keyToPem(peerKey))
  vault.write(VaultFile.NodeKey, keyToPem(nodeKey))
  vault.write(VaultFile.NodeSecret, randomBytes(32))
  vault.write(
    VaultFile.TrustBundle,
    signTrustBundle({ trustDomain, version: 1n, roots: [root], adminPublicKey, nowMs }, [
      { certificate: root, key: rootKey }
    ])
  )
  beforeMember(peerKeyOf(rawPublicKey(peerKey)))
  vault.write(VaultFile.NodeChain, encodeChain([node, authority, root]))
}
