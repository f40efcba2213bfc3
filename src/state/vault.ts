import { join } from 'node:path'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { ensureDirectory, readIfPresent, removeFile, replaceFile } from './files.ts'

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
  AdminKey: 'admin.key'
} as const
export type VaultFile = (typeof VaultFile)[keyof typeof VaultFile]

/** The files of a state directory: whole-file reads and durable whole-file writes. */
export class Vault {
  readonly directory: string

  /** Makes the directory if needed. Throws STATE_UNUSABLE when it is not ours alone. */
  constructor(directory: string) {
    ensureDirectory(directory, 0o700)
    this.directory = directory
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  read(name: VaultFile): Buffer | undefined {
    return readIfPresent(this.path(name))
  }

  /** The content of a file that must be there. Throws STATE_UNUSABLE. */
  require(name: VaultFile): Buffer {
    const content = this.read(name)
    if (content === undefined) {
      throw new WarrenError(ErrorCode.StateUnusable, `${this.path(name)} is missing`, {
        hint: 'Restore the state directory from a backup, or empty it and join again.'
      })
    }
    return content
  }

  /** Takes a file away; the directory no longer lists it when this returns. */
  remove(name: VaultFile): void {
    removeFile(this.path(name))
  }

  write(name: VaultFile, content: Uint8Array | string): void {
    replaceFile(this.path(name), content)
  }
}
