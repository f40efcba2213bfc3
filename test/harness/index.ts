export { type AgentOptions, at, type Place, type Status, startPair, TestAgent, WARREN, warren } from './agent.ts'
export { Capture } from './capture.ts'
export { certificatesIn } from './certificates.ts'
export { type Programs, programsForOthers } from './for-others.ts'
export { createHosts, goneFrom, type Host } from './host.ts'
export {
  askFor,
  dataPort,
  Intruder,
  type OpenRequest,
  type PeerChain,
  PURPOSE,
  type Service,
  servicesOf,
  USAGE
} from './intruder.ts'
export { listenersOf } from './listeners.ts'
export { localCall, type Reply } from './local-call.ts'
export { createNattedHosts, type NattedHosts } from './nat.ts'
export { asRoot, IS_LONG, isInstalled, needsCommand, needsRoot } from './needs.ts'
export { buildCommit, commitOf, hasSameModules } from './other-build.ts'
export { type Outcome, Program, type ProgramOptions } from './program.ts'
export { needsRuntime, type RuntimeName } from './runtimes.ts'
export { type Scope, scopeOf } from './scope.ts'
export { privateDirectory, temporaryDirectory } from './temporary.ts'
export { inTerminal } from './terminal.ts'
export { settled, waitFor } from './wait-for.ts'
