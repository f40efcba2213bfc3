export { carrierOf, noteCarrier } from './carrier-of.ts'
export { dialFastPath, type TcpEnd } from './dial-fastpath.ts'
export { duplicator } from './duplicate.ts'
export { FastPathAcceptor } from './fastpath-acceptor.ts'
export { FAST_PATH_CUTS_PATH, FastPathCuts } from './fastpath-cuts.ts'
export { FIRST_BYTE, FIRST_BYTES_VERSION, isPooled, MAX_CONTENT_BYTES, MAX_FIRST_BYTES } from './format.ts'
export { boundKernelBuffers } from './kernel-buffers.ts'
export { type PooledOpen, readOpen } from './open-message.ts'
export { READ_BYTES, readPool } from './pool.ts'
export { PooledConnection, PooledConnectionLost } from './pooled-connection.ts'
export { canTakeOver, takeOver } from './raw-socket.ts'
export type { RecordConnection } from './record-connection.ts'
export type { RecordConnectionEvents } from './record-events.ts'
export { ReplayGuard } from './replay-guard.ts'
export {
  FastPathBudget,
  MAX_POOLED_PER_SESSION,
  type UpgradePath,
  type UpgradeThresholds,
  upgradeThresholdsOf
} from './upgrade-path.ts'
