export {
  backupStopped,
  checkBackupPath,
  exportRootKey,
  importRootKey,
  openBackup,
  readSealedFile,
  restoreState,
  writeBackup
} from '../ca/index.ts'
export type { AgentConfig, LogLevel } from '../config/index.ts'
export type { HostPort } from '../core/index.ts'
export { type RunningAgent, type StartObserver, startAgent } from './agent.ts'
export { type ResolvedConfig, resolveConfig } from './config.ts'
export { tuneProcess } from './tune-process.ts'
