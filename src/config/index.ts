export {
  type AgentConfig,
  type Lifetimes,
  type LogLevel,
  UP_OPTIONS,
  type UpOption,
  type UpOptionName
} from './options.ts'
export { readOptions } from './read-options.ts'
