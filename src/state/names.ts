/** Names of the files of a state directory. Keys are PEM (PKCS#8), certificates PEM, the rest bytes; all mode 0600. */
export const VaultFile = {
  PeerKey: 'peer.key',
  NodeKey: 'node.key',
  NodeChain: 'node.pem',
  TrustBundle: 'trust.bundle',
  RootFingerprint: 'root.sha256',
  /** The last trust bundles, for hosts that missed them. */
  TrustHistory: 'trust.history',
  NodeSecret: 'node.secret',
  /** The id of the token for which the keys were made, while the host joins. */
  JoinAttempt: 'join.attempt',
  /** Key and chain of the node CA since its first renewal, in place of the two above. */
  RenewedNode: 'node.renewed.pem',
  JwtKey: 'jwt.key',
  JwtKeys: 'jwt.keys',
  RootKey: 'root.key',
  /** The key of the old root, during a rotation. */
  FormerRootKey: 'root.former.key',
  AuthorityKey: 'authority.key',
  /** The key of an authority that a root has not signed yet. */
  PendingAuthorityKey: 'authority.pending.key',
  /** The certificate since its first renewal; before, the chain of the host has it. */
  AuthorityCertificate: 'authority.pem',
  AdminKey: 'admin.key',
  /** The key of another admin than the root of policy. */
  OwnAdminKey: 'admin.own.key',
  /** The sets of admins besides the root of policy. */
  PolicySets: 'policy.sets',
  /** The newest policy that this host has signed or received; the database has it too. */
  PolicyBundle: 'policy.bundle'
} as const
export type VaultFile = (typeof VaultFile)[keyof typeof VaultFile]

export const DATABASE = 'warren.db'
export const MANIFEST = 'manifest'

const OWN_NAMES: ReadonlySet<string> = new Set([...Object.values(VaultFile), DATABASE, MANIFEST])
const WORKING = /^(.+?)(?:\.new|\.copy|-wal|-shm|-journal)$/

/** Whether we make files of this name in a state directory. */
export function isStateName(name: string): boolean {
  return OWN_NAMES.has(name) || OWN_NAMES.has(WORKING.exec(name)?.[1] ?? '')
}
