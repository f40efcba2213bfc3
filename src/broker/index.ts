export { type Broker, type BrokerTotals, type ConnectAnswer, type ConnectRequest, createBroker } from './broker.ts'
export type {
  AuthorizeQuestion,
  BrokerDeps,
  Candidate,
  CarrierChoice,
  Credentials,
  Directory,
  LocalTarget,
  LocalWorkloads,
  ProvenWorkload,
  SocketCredentials,
  WorkloadVerdict
} from './deps.ts'
export { probeTarget } from './destination/probe.ts'
export type { FlowInfo } from './flow/flow.ts'
export { type BrokerLimits, DEFAULT_LIMITS } from './limits.ts'
export type { SessionAlarm } from './session-alarms.ts'
export type { Strategy } from './source/balance.ts'
export type { SourceHandle } from './source/endpoints.ts'
