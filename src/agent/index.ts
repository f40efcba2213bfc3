import './require-node.ts'

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
export type { ReloadResult } from '../declared/index.ts'
export { type RunningAgent, startAgent } from './agent.ts'
export { type ResolvedConfig, resolveConfig } from './config.ts'
export { LIMIT_OPTIONS } from './limit-options.ts'
export type { StartOptions, StartProgress } from './start-progress.ts'
export { tuneProcess } from './tune-process.ts'
