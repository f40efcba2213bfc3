/**
 * Every field that a log line may carry. One table, so that each thing has one name in all of warren's logs, and so
 * that a key, a token or a payload has no field to be logged in.
 */
export interface LogFields {
  machine?: string
  peer?: string
  address?: string
  source?: string
  destination?: string
  registrationId?: string
  uid?: number
  pid?: number
  flowId?: string
  sessionId?: string
  protocol?: string
  carrier?: string
  remote?: string
  /** Id of the token, CA or issuer by which a host joins. */
  via?: string
  path?: string
  port?: number
  addresses?: readonly string[]
  rule?: string
  decision?: string
  policyVersion?: string
  trustVersion?: string
  epoch?: string
  seq?: string
  version?: string
  trustDomain?: string
  serial?: string
  notAfter?: string
  bytesIn?: number
  bytesOut?: number
  datagramsIn?: number
  datagramsOut?: number
  dropped?: number
  durationMs?: number
  count?: number
  required?: number
  /** Addresses that this host had before. */
  gone?: readonly string[]
  missing?: readonly string[]
  /** Each as its id and what it is about. */
  revocations?: readonly string[]
  limit?: number
  /** Name as in `docs/limits.md`. */
  limitName?: string
  reason?: string
  code?: string
  method?: string
  signal?: string
  state?: string
  component?: string
  err?: unknown
}

/**
 * Structured log: a constant message, data in fields.
 *
 * error: an operator must act; warn: degraded, recovers automatically; info: life cycle, and one line per brokered flow
 * at its end; debug: steps. Never keys, tokens, certificates or payload.
 */
export interface Logger {
  readonly error: (message: string, fields?: LogFields) => void
  readonly warn: (message: string, fields?: LogFields) => void
  readonly info: (message: string, fields?: LogFields) => void
  readonly debug: (message: string, fields?: LogFields) => void
  /** A logger whose lines all carry `fields` as well. */
  readonly child: (fields: LogFields) => Logger
}

const drop = (): void => {}

/** Discards everything. For tests and for library users that need no log. */
export const silentLogger: Logger = Object.freeze({
  error: drop,
  warn: drop,
  info: drop,
  debug: drop,
  child: () => silentLogger
})
