export { type RunningAgent, startAgent } from './agent.ts'
export {
  backupStopped,
  exportRootKey,
  importRootKey,
  openBackup,
  readSealedFile,
  restoreState
} from './backup/index.ts'
export { type AgentConfig, type HostPort, type LogLevel, resolveConfig } from './config.ts'
export { replaceFile } from './state/files.ts'
