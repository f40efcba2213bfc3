export { Allowance, type AllowanceRate } from './allowance.ts'
export { type Clock, systemClock } from './clock.ts'
export { Deadline } from './deadline.ts'
export { ErrorCode, isErrorCode, WarrenError, type WarrenErrorOptions } from './errors.ts'
export {
  acceptsConnections,
  type ClaimOptions,
  checkOutput,
  claimDirectory,
  identityOf,
  kindOf,
  MAX_SOCKET_PATH_BYTES,
  type OutputOptions,
  occupySocketPath,
  removeIfSame,
  standsAt,
  syncDirectory,
  systemCode,
  tryLock,
  writeOutput
} from './files/index.ts'
export { type LogFields, type Logger, silentLogger } from './log.ts'
export { Memo } from './memo.ts'
export {
  type CounterName,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
  LIMIT_NAMES,
  LimitHits,
  type LimitName,
  METRICS,
  type MetricName,
  type Metrics,
  OTHER,
  silentMetrics
} from './metrics/index.ts'
export { definedOnly } from './options.ts'
export { raceStaggered } from './race.ts'
export { raceAbort, sleep, within } from './signals.ts'
export { detach, type LoopOptions, loop } from './task.ts'
export { atEndOfTurn } from './turn.ts'
