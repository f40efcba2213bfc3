/** Names of what a state directory holds. Keys are PEM (PKCS#8), certificates PEM, the rest bytes; all mode 0600. */
export const VaultFile = {
  PeerKey: 'peer.key',
  NodeKey: 'node.key',
  NodeChain: 'node.pem',
  TrustBundle: 'trust.bundle',
  RootFingerprint: 'root.sha256',
  /** The last trust bundles, for hosts that missed them. */
  TrustHistory: 'trust.history',
  NodeSecret: 'node.secret',
  /** Key and chain of the node CA since its first renewal, in place of the two above. */
  RenewedNode: 'node.renewed.pem',
  JwtKey: 'jwt.key',
  JwtKeys: 'jwt.keys',
  RootKey: 'root.key',
  /** While the root is rotated: the key of the one that goes. */
  FormerRootKey: 'root.former.key',
  AuthorityKey: 'authority.key',
  /** Of an authority that a root has not signed yet. */
  PendingAuthorityKey: 'authority.pending.key',
  /** Since its first renewal; before it, the chain of the host has it. */
  AuthorityCertificate: 'authority.pem',
  AdminKey: 'admin.key',
  /** The newest policy that this host has signed or heard of; the database has it too. */
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
