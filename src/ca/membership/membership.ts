import { createPublicKey, type KeyObject } from 'node:crypto'
import { type ParsedCertificate, peerKeyOf, rawPublicKey } from '../../identity/index.ts'
import { damaged, TrustFile, type Vault, VaultFile } from '../../state/index.ts'
import type { Lifetimes } from '../lifetimes.ts'
import { type Credentials, loadCredentials, readKey, readNode } from './credentials.ts'
import { JwtKeys } from './jwt-keys.ts'

const NODE_SECRET_BYTES = 32

/** The keys and certificates that make a host a member of a trust domain, and the keys of its other roles. */
export interface Membership {
  readonly trustDomain: string
  readonly machine: string
  /** The part that rotations of the root replace. */
  readonly trust: TrustFile
  /** The part that renewals replace. */
  readonly credentials: Credentials
  readonly jwtKeys: JwtKeys
  readonly peerKey: KeyObject
  /** Secret for the session tokens of this host. */
  readonly nodeSecret: Buffer
  /** Present on the host that signs policy. */
  readonly adminKey: KeyObject | undefined
}

/**
 * Reads the membership from a state directory; undefined if the host has none.
 *
 * The certificates may have expired, within the grace period: then only an authority accepts this host, and only to
 * renew them. Throws STATE_UNUSABLE when a file is missing or damaged, or the certificates are no longer valid.
 */
export function loadMembership(vault: Vault, lifetimes: Lifetimes, nowMs: number): Membership | undefined {
  if (readNode(vault) === undefined) return undefined
  const trust = new TrustFile(vault)
  const former = trust.formerRoots()
  const credentials = loadCredentials(vault, trust.state, nowMs, lifetimes.graceMs, former)
  if (credentials === undefined) return undefined
  requireRootKey(vault, credentials, [...trust.state.roots, ...former])
  credentials.pendingAuthorityKey()
  return {
    trustDomain: trust.state.trustDomain,
    machine: credentials.node.machine,
    trust,
    credentials,
    jwtKeys: new JwtKeys(vault, lifetimes, nowMs),
    peerKey: readPeerKey(vault, credentials),
    nodeSecret: readSecret(vault),
    adminKey: readAdminKey(vault, trust.state.adminPublicKey)
  }
}

function readPeerKey(vault: Vault, { node }: Credentials): KeyObject {
  const key = readKey(vault, VaultFile.PeerKey)
  if (key.asymmetricKeyType === 'ed25519' && peerKeyOf(rawPublicKey(key)) === node.peer) return key
  throw damaged(vault, VaultFile.PeerKey, 'is not the key that the certificate of this host names')
}

// With a guessable secret, others could make tokens: an empty file, or the zeros that a lost block leaves.
function readSecret(vault: Vault): Buffer {
  const secret = vault.require(VaultFile.NodeSecret)
  if (secret.length === NODE_SECRET_BYTES && secret.some(byte => byte !== 0)) return secret
  throw damaged(vault, VaultFile.NodeSecret)
}

function readAdminKey(vault: Vault, adminPublicKey: Uint8Array): KeyObject | undefined {
  if (vault.read(VaultFile.AdminKey) === undefined) return undefined
  const key = readKey(vault, VaultFile.AdminKey)
  if (Buffer.from(rawPublicKey(key)).equals(adminPublicKey)) return key
  throw damaged(vault, VaultFile.AdminKey, 'is not the admin key of this trust domain')
}

// At least one key of a trusted root: between two steps of a rotation, the other root may not be trusted.
function requireRootKey(vault: Vault, credentials: Credentials, roots: readonly ParsedCertificate[]): void {
  const keys = credentials.rootKeys().map(createPublicKey)
  if (keys.length === 0 || keys.some(key => roots.some(({ publicKey }) => publicKey.equals(key)))) return
  throw damaged(vault, VaultFile.RootKey, 'is not the key of a root of this trust domain')
}
