export { asOwn } from './as-own.ts'
export { anyChange, ChangeSignal } from './change-signal.ts'
export { type Clock, hostMonotonicMs, systemClock } from './clock.ts'
export { concernedEnds, type EndVerdict, jointVerdict, type Verdict, verdictOf } from './connection-verdict.ts'
export { Deadline } from './deadline.ts'
export { connectTcp, DIAL_STAGGER_MS, isLocalhost, LOOPBACK, resolveHost } from './dial.ts'
export { coversDnsName, dnsName, dnsNamePattern, requireDnsNames } from './dns-name.ts'
export { durationMs, parseDuration } from './duration.ts'
export { ErrorCode, isErrorCode, SessionEndedError, WarrenError, type WarrenErrorOptions } from './errors.ts'
export {
  acceptsConnections,
  type ClaimOptions,
  checkOutput,
  claimDirectory,
  type FileFault,
  fileFault,
  identityOf,
  kindOf,
  makeDirectories,
  type OutputOptions,
  occupySocketPath,
  removeIfSame,
  standsAt,
  syncDirectory,
  systemCode,
  tryLock,
  writeOutput
} from './files/index.ts'
export { peekFirstByte } from './first-byte.ts'
export { lazy } from './lazy.ts'
export {
  type KeyedRate,
  LruMap,
  type PlaceLoss,
  Quota,
  type Rate,
  RateLimitedLog,
  type RateLimitedLogOptions,
  TokenBucket,
  TokenBuckets,
  UNAUTHENTICATED_LINES,
  type UnprovenBounds,
  type UnprovenPlace,
  UnprovenQuota
} from './limits/index.ts'
export { LineSink, MAX_LOG_BACKLOG_BYTES } from './line-sink.ts'
export { type ListenFault, listenFault } from './listen-fault.ts'
export { type LogFields, type Logger, silentLogger } from './log.ts'
export {
  type CounterName,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
  type LabelValue,
  LIMIT_NAMES,
  LimitHits,
  type LimitName,
  labelValue,
  METRICS,
  type MetricDefinition,
  type MetricName,
  type Metrics,
  OTHER,
  silentMetrics
} from './metrics/index.ts'
export { CLOCK_SKEW_MS, MonotoneClock } from './monotone-clock.ts'
export { editDistance, nearest } from './nearest.ts'
export {
  formatHostPort,
  gatewayName,
  type HostPort,
  isLoopback,
  MAX_SOCKET_PATH_BYTES,
  networkOf,
  type Protocol,
  parseHostPort,
  withoutMapping
} from './net.ts'
export { isWithin, parseNetworks } from './networks.ts'
export { checkNodeInternals, datagramDescriptorOf, descriptorOf, keepLittle, stopReading } from './node-internals.ts'
export { requireNode } from './node-version.ts'
export { definedOnly } from './options.ts'
export { type Left, type ProcessHandover, takeListener } from './process-handover.ts'
export {
  ANNOUNCED_PROTOCOLS,
  commonVersion,
  FIRST_VERSION,
  formatVersions,
  isVersionRange,
  PROTOCOLS,
  type ProtocolName,
  type ProtocolVersions,
  softwareVersion,
  type VersionRange
} from './protocols.ts'
export { firstOf, raceStaggered } from './race.ts'
export { loadResetOnClose, type ResetOnClose } from './reset-on-close.ts'
export { shellWord } from './shell-word.ts'
export { ShortSignal } from './short-signal.ts'
export { raceAbort, sleep, within } from './signals.ts'
export { spliceStreams } from './splice-streams.ts'
export { loadStartCode } from './start-code.ts'
export { stderrLines } from './stderr.ts'
export { detach, type LoopOptions, loop } from './task.ts'
export { requireTlsGroups, TLS_GROUPS } from './tls-groups.ts'
export { atEndOfTurn } from './turn.ts'
export { isBundled, packageVersion } from './version.ts'
export { UNSEEN, visibleJson } from './visible.ts'
export { DEFAULT_WEIGHT, MAX_WEIGHT, ZONE_LABEL } from './weights.ts'
export { wildcard } from './wildcard.ts'
