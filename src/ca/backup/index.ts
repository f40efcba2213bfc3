export { backupOf, backupStopped, checkBackupPath, openBackup, restoreState, writeBackup } from './backup.ts'
export type { BackupContent } from './content.ts'
export { exportRootKey, importRootKey } from './root-key.ts'
export { readSealedFile } from './sealed-file.ts'
