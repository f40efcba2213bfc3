export { ANY_CARRIER, requireCarrier } from './carriers/index.ts'
export type { ConnectAnswer, ConnectRequest, DataPlane, ProxyTotals } from './data-plane.ts'
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
export type { ConnectionEnd, FlowInfo, FlowStep, FlowTrace, FlowTracer } from './flow/index.ts'
export { headerFor, probeFrame } from './hello.ts'
export { Drain } from './host-drain.ts'
export { dialTarget } from './inbound/index.ts'
export { collectAllGarbage, collectYoungGarbage } from './legs/index.ts'
export { DEFAULT_LIMITS, type ProxyLimits } from './limits.ts'
export { proxyOptions } from './options.ts'
export {
  type AcquiredSource,
  ENDPOINT_DIRECTORIES,
  type ListenerParts,
  type ListenerRoute,
  type ListenRequest,
  LONGEST_ENDPOINT,
  type LocalListener,
  type PassedListener,
  type PassedListenRequest,
  type SourceHandle,
  type Strategy,
  sharesOf,
  type Tier,
  tierOf
} from './outbound/index.ts'
export { createDataPlane } from './proxy.ts'
export type { SessionAlarm } from './session-alarms.ts'
