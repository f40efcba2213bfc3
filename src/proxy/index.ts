export { ANY_CARRIER, requireCarrier } from './carriers/index.ts'
export type {
  AuthorizeQuestion,
  Candidate,
  CarrierChoice,
  Directory,
  LocalWorkloads,
  ProvenWorkload,
  ProxyDeps,
  SocketCredentials,
  TlsCredentials,
  WorkloadVerdict
} from './deps.ts'
export type { Drained } from './drain.ts'
export type { ConnectionEnd, FlowInfo } from './flow/index.ts'
export { probeFrame } from './hello.ts'
export { dialTarget } from './inbound/index.ts'
export { collectYoungGarbage } from './legs/index.ts'
export { DEFAULT_LIMITS, type ProxyLimits } from './limits.ts'
export { ENDPOINT_DIRECTORIES, LONGEST_ENDPOINT, type SourceHandle, type Strategy } from './outbound/index.ts'
export { type ConnectAnswer, type ConnectRequest, createDataPlane, type DataPlane, type ProxyTotals } from './proxy.ts'
export { localHeader } from './proxy-header.ts'
export type { SessionAlarm } from './session-alarms.ts'
