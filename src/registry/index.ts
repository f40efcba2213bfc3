export { answer } from './answer.ts'
export { clockDifferences, clockText } from './clock-check.ts'
export { CONTENT_DIGEST_CAPABILITY } from './content.ts'
export { RegistryDriver } from './driver.ts'
export type { Cancel, DriverPorts, GatheredAck, Notice } from './driver-ports.ts'
export { type HandedState, handedStates } from './handed.ts'
export type { Head } from './head.ts'
export { DEFAULT_LEASES, type Lease, type LeaseStep, leaseFor, type Now } from './lease.ts'
export { DEFAULT_LIMITS, type Limits, MAX_SKEW_MS } from './limits.ts'
export {
  type AlarmKind,
  type AuditCheckpoint,
  type ChangeCause,
  decodeAck,
  type Effect,
  type Event,
  encodeAck,
  type GossipVerdict,
  type HighWaterMark,
  type Profile
} from './message.ts'
export type { Health, LocalRecord, RegistryRecord } from './record.ts'
export { isEnough, type ReplicationProgress, replication, type WaitMode } from './replication.ts'
export {
  type Admitted,
  type ClockDifference,
  CONTENT_SYNC_ABOVE,
  createRegistry,
  type RegistryConfig,
  type RegistryState
} from './state.ts'
export { step } from './step.ts'
export { restingSyncMsFor, syncMsFor } from './sync-pace.ts'
export type { SyncOutcome } from './sync-runner.ts'
export { SyncSession, type SyncStep } from './sync-session.ts'
export {
  find,
  knowsBeside,
  type LiveRecord,
  liveRecords,
  lookup,
  type OwnerView,
  owner,
  ownerAt,
  owners,
  quarantined,
  recordAt,
  records,
  self,
  serverCount,
  sizes,
  stateDigest
} from './view.ts'
