export {
  backupStopped,
  exportRootKey,
  importRootKey,
  openBackup,
  readSealedFile,
  restoreState
} from '../ca/index.ts'
export { replaceFile } from '../state/index.ts'
export { type RunningAgent, startAgent } from './agent.ts'
export {
  type AgentConfig,
  defaultMachineName,
  type HostPort,
  type LogLevel,
  type ResolvedConfig,
  resolveConfig
} from './config.ts'
