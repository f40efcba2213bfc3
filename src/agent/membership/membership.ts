import type { KeyObject } from 'node:crypto'
import { keyFromPem, openTrustBundle, type TrustState } from '../../identity/index.ts'
import type { Lifetimes } from '../lifetimes.ts'
import { type Vault, VaultFile } from '../state/vault.ts'
import { type Credentials, loadCredentials, readKey } from './credentials.ts'
import { JwtKeys } from './jwt-keys.ts'

/** What makes a host a member of a trust domain, and of which other offices it holds the keys. */
export interface Membership {
  readonly trustDomain: string
  readonly machine: string
  readonly trust: TrustState
  /** Bytes of the SignedTrustBundle, for those who join through this host. */
  readonly trustBundle: Uint8Array
  /** What renewals replace. */
  readonly credentials: Credentials
  readonly jwtKeys: JwtKeys
  readonly peerKey: KeyObject
  /** Secret behind the session tokens of this host. */
  readonly nodeSecret: Buffer
  /** Present on the host that signs policy. */
  readonly adminKey: KeyObject | undefined
}

/**
 * Reads the membership from a state directory; undefined if the host has none.
 *
 * The certificates may have ended, within the grace period: then nobody but an authority will talk to this host, and about
 * nothing but their renewal. Throws STATE_UNUSABLE when a file is missing or damaged, or the certificates no longer hold.
 */
export function loadMembership(vault: Vault, lifetimes: Lifetimes, nowMs: number): Membership | undefined {
  if (vault.read(VaultFile.NodeChain) === undefined) return undefined
  const trustBundle = vault.require(VaultFile.TrustBundle)
  const trust = openTrustBundle(trustBundle, vault.require(VaultFile.RootFingerprint).toString('utf8').trim())
  const credentials = loadCredentials(vault, trust, nowMs, lifetimes.graceMs)
  if (credentials === undefined) return undefined
  const adminKey = vault.read(VaultFile.AdminKey)
  return {
    trustDomain: trust.trustDomain,
    machine: credentials.node.machine,
    trust,
    trustBundle,
    credentials,
    jwtKeys: new JwtKeys(vault, lifetimes, nowMs),
    peerKey: readKey(vault, VaultFile.PeerKey),
    nodeSecret: vault.require(VaultFile.NodeSecret),
    adminKey: adminKey === undefined ? undefined : keyFromPem(adminKey)
  }
}
