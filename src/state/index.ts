export { canBeWithout, damaged, lost } from './cure.ts'
export { openDatabase } from './database.ts'
export { endMembership } from './end-membership.ts'
export { ensureDirectory, openPrivateFile, readIfPresent, removeFile, replaceFile } from './files.ts'
export { JoinStore, type StoredTrust, WAITING_MS } from './join-store.ts'
export {
  CLOCK_SETTING,
  type LossOptions,
  missingFiles,
  noteHost,
  POLICY_SETTING,
  requireDatabaseFile,
  requireDatabaseOf,
  requireFiles,
  requireSame,
  UNHEARD_SETTING
} from './losses.ts'
export { Manifest } from './manifest.ts'
export { DATABASE, isStateName, MANIFEST } from './names.ts'
export { type KnownMember, Store } from './store.ts'
export { TrustFile } from './trust-file.ts'
export { Vault, VaultFile } from './vault.ts'
