export { requireCarrier } from './carriers/index.ts'
export type {
  AuthorizeQuestion,
  BrokerDeps,
  Candidate,
  CarrierChoice,
  Credentials,
  Directory,
  IpEnd,
  LocalTarget,
  LocalWorkloads,
  PortServer,
  ProvenWorkload,
  SocketCredentials,
  WorkloadVerdict
} from './deps.ts'
export type { FlowInfo } from './flow/index.ts'
export { probeTarget } from './inbound/index.ts'
export { collectYoungGarbage } from './legs/index.ts'
export { type BrokerLimits, DEFAULT_LIMITS } from './limits.ts'
export type { SourceHandle, Strategy } from './outbound/index.ts'
export { ENDPOINT_DIRECTORIES, LONGEST_ENDPOINT } from './outbound/index.ts'
export { type Broker, type BrokerTotals, type ConnectAnswer, type ConnectRequest, createBroker } from './proxy.ts'
export type { SessionAlarm } from './session-alarms.ts'
