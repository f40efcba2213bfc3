export { type Environment, readEnvironment, variableOf } from './environment.ts'
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
export { readOptions } from './read-options.ts'
