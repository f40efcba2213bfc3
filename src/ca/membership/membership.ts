import type { KeyObject } from 'node:crypto'
import { keyFromPem } from '../../identity/index.ts'
import { TrustFile, type Vault, VaultFile } from '../../state/index.ts'
import type { Lifetimes } from '../lifetimes.ts'
import { type Credentials, loadCredentials, readKey } from './credentials.ts'
import { JwtKeys } from './jwt-keys.ts'

/** What makes a host a member of a trust domain, and of which other offices it holds the keys. */
export interface Membership {
  readonly trustDomain: string
  readonly machine: string
  /** What rotations of the root replace. */
  readonly trust: TrustFile
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
  const trust = new TrustFile(vault)
  const credentials = loadCredentials(vault, trust.state, nowMs, lifetimes.graceMs, trust.formerRoots())
  if (credentials === undefined) return undefined
  const adminKey = vault.read(VaultFile.AdminKey)
  return {
    trustDomain: trust.state.trustDomain,
    machine: credentials.node.machine,
    trust,
    credentials,
    jwtKeys: new JwtKeys(vault, lifetimes, nowMs),
    peerKey: readKey(vault, VaultFile.PeerKey),
    nodeSecret: vault.require(VaultFile.NodeSecret),
    adminKey: adminKey === undefined ? undefined : keyFromPem(adminKey)
  }
}
