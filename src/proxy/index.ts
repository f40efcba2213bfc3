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
export type { FlowInfo } from './flow/flow.ts'
export { collectYoungGarbage } from './flow/young-garbage.ts'
export { probeTarget } from './inbound/probe.ts'
export { type BrokerLimits, DEFAULT_LIMITS } from './limits.ts'
export type { Strategy } from './outbound/balance.ts'
export { ENDPOINT_DIRECTORIES, LONGEST_ENDPOINT } from './outbound/endpoint-socket.ts'
export type { SourceHandle } from './outbound/endpoints.ts'
export { type Broker, type BrokerTotals, type ConnectAnswer, type ConnectRequest, createBroker } from './proxy.ts'
export type { SessionAlarm } from './session-alarms.ts'
