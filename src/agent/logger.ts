import { destination, type Logger as PinoLogger, pino, stdSerializers } from 'pino'
import type { LogLevel } from '../config/index.ts'
import type { LogFields, Logger } from '../core/index.ts'

/** Lines that cannot be written are kept up to this size, and dropped beyond. */
const MAX_UNWRITTEN_BYTES = 1024 * 1024

/**
 * A logger that writes one JSON line per event to standard error.
 *
 * Written synchronously: the line that explains a crash must not be lost in a buffer.
 */
export function createLogger(level: LogLevel): Logger {
  const sink = destination({ dest: 2, sync: true, maxLength: MAX_UNWRITTEN_BYTES })
  // A closed terminal or a full disk must not end the agent: lines that could not be written are tried again with the next
  // line.
  sink.on('error', () => {})
  return adapt(
    pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: serializeError } }, sink)
  )
}

function adapt(log: PinoLogger): Logger {
  return {
    error: (message, fields = {}) => log.error(fields, message),
    warn: (message, fields = {}) => log.warn(fields, message),
    info: (message, fields = {}) => log.info(fields, message),
    debug: (message, fields = {}) => log.debug(fields, message),
    child: (fields: LogFields) => adapt(log.child(fields))
  }
}

// Without the stack at the levels that operators read: a refused peer is an event, not a defect.
function serializeError(err: unknown): unknown {
  if (!(err instanceof Error)) return String(err)
  const { type, message, code, stack } = stdSerializers.err(err) as {
    type: string
    message: string
    code?: string
    stack: string
  }
  const expected = err.name === 'WarrenError' || typeof code === 'string'
  return expected ? { type, message, code } : { type, message, stack }
}
