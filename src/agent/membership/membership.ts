import { createPublicKey, type KeyObject } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import {
  generateSigningKeyPair,
  type Issuer,
  keyFromPem,
  keyToPem,
  type NodeIdentity,
  openTrustBundle,
  type TrustState,
  verifyNodeChain
} from '../../identity/index.ts'
import { type Vault, VaultFile } from '../state/vault.ts'
import { decodeChain } from './chain-file.ts'

/** What makes a host a member of a trust domain, and of which other offices it holds the keys. */
export interface Membership {
  readonly trustDomain: string
  readonly machine: string
  readonly trust: TrustState
  /** Bytes of the SignedTrustBundle, for those who join through this host. */
  readonly trustBundle: Uint8Array
  readonly node: NodeIdentity
  readonly nodeKey: KeyObject
  readonly peerKey: KeyObject
  /** Secret behind the session tokens of this host. */
  readonly nodeSecret: Buffer
  /** P-256: signs the JWT-SVIDs of this host's workloads. */
  readonly jwtKey: KeyObject
  /** Present on a host that admits others. */
  readonly authority: Issuer | undefined
  /** Present on the host that signs policy. */
  readonly adminKey: KeyObject | undefined
}

/**
 * Reads the membership from a state directory; undefined if the host has none.
 *
 * The certificates are judged as those of a stranger would be. Throws STATE_UNUSABLE when a file is missing or
 * damaged, or the certificates no longer hold.
 */
export function loadMembership(vault: Vault, nowMs: number): Membership | undefined {
  const chainFile = vault.read(VaultFile.NodeChain)
  if (chainFile === undefined) return undefined
  const chain = decodeChain(chainFile)
  const trustBundle = vault.require(VaultFile.TrustBundle)
  const trust = openTrustBundle(trustBundle, vault.require(VaultFile.RootFingerprint).toString('utf8').trim())
  const verdict = verifyNodeChain(chain, trust, nowMs)
  if (!verdict.ok) {
    throw new WarrenError(ErrorCode.StateUnusable, `the certificate of this host no longer holds: ${verdict.detail}`, {
      hint:
        verdict.reason === 'expired'
          ? 'Check the clock; if it is right, empty the state directory and join again with a new token.'
          : 'Check the clock, or restore the state directory from a backup.'
    })
  }
  const nodeKey = readKey(vault, VaultFile.NodeKey)
  if (!createPublicKey(nodeKey).equals(verdict.identity.nodeCertificate.publicKey)) {
    throw new WarrenError(ErrorCode.StateUnusable, 'the key of this host does not belong to its certificate')
  }
  const [, authorityCertificate] = chain
  const authorityKey = vault.read(VaultFile.AuthorityKey)
  const adminKey = vault.read(VaultFile.AdminKey)
  return {
    trustDomain: trust.trustDomain,
    machine: verdict.identity.machine,
    trust,
    trustBundle,
    node: verdict.identity,
    nodeKey,
    peerKey: readKey(vault, VaultFile.PeerKey),
    nodeSecret: vault.require(VaultFile.NodeSecret),
    jwtKey: jwtKeyOf(vault),
    authority:
      authorityKey === undefined || authorityCertificate === undefined
        ? undefined
        : { certificate: authorityCertificate, key: keyFromPem(authorityKey) },
    adminKey: adminKey === undefined ? undefined : keyFromPem(adminKey)
  }
}

// Not part of being a member: no certificate speaks of it, and the next head announces whatever it is.
function jwtKeyOf(vault: Vault): KeyObject {
  if (vault.read(VaultFile.JwtKey) === undefined) vault.write(VaultFile.JwtKey, keyToPem(generateSigningKeyPair()))
  return readKey(vault, VaultFile.JwtKey)
}

function readKey(vault: Vault, name: (typeof VaultFile)['NodeKey' | 'PeerKey' | 'JwtKey']): KeyObject {
  const pem = vault.require(name)
  try {
    return keyFromPem(pem)
  } catch (cause) {
    throw new WarrenError(ErrorCode.StateUnusable, `${vault.path(name)} is not a key`, { cause })
  }
}
