export type { AuditTarget, OtlpTarget, TlsFiles } from './audit-target.ts'
export {
  type Declared,
  type DeclaredForward,
  type DeclaredService,
  type DeclaredSource,
  NOTHING_DECLARED,
  type Reading,
  type ReloadWatcher
} from './declared.ts'
export { type Environment, readEnvironment, variableOf } from './environment.ts'
export type { Fault, FileConfig, Files, Loaded, Place } from './files/index.ts'
export {
  type AgentConfig,
  type Lifetimes,
  LOG_LEVELS,
  type LogLevel,
  type MetricsListen,
  UP_OPTIONS,
  type UpOption,
  type UpOptionName
} from './options.ts'
export type { FileTest, PolicyFile } from './policy-file/index.ts'
export { readOptions } from './read-options.ts'

/** What reads and writes policies as files: loaded only if there is one, as the configuration is. */
export async function policyFiles(): Promise<typeof import('./policy-file/index.ts')> {
  return await import('./policy-file/index.ts')
}

/** What reads files: loaded only if there is one, since the parsers take time. */
export async function configFiles(): Promise<typeof import('./files/index.ts')> {
  return await import('./files/index.ts')
}
