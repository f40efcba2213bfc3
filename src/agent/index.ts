export { type RunningAgent, startAgent } from './agent.ts'
export {
  backupStopped,
  checkBackupPath,
  exportRootKey,
  importRootKey,
  openBackup,
  readSealedFile,
  restoreState,
  writeBackup
} from './backup/index.ts'
export { type AgentConfig, type HostPort, type LogLevel, resolveConfig } from './config.ts'
