export {
  backupStopped,
  exportRootKey,
  importRootKey,
  openBackup,
  readSealedFile,
  restoreState
} from '../ca/index.ts'
export type { HostPort } from '../core/index.ts'
export { replaceFile } from '../state/index.ts'
export { type RunningAgent, startAgent } from './agent.ts'
export {
  type AgentConfig,
  type LogLevel,
  type ResolvedConfig,
  resolveConfig
} from './config.ts'
export { tuneProcess } from './tune-process.ts'
