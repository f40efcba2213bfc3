export { type RunningAgent, startAgent } from './agent.ts'
export type { AgentConfig, HostPort, LogLevel } from './config.ts'
