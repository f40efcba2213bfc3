import { type Logger as PinoLogger, pino, stdSerializers } from 'pino'
import type { LogLevel } from '../config/index.ts'
import { type LimitName, type LogFields, type Logger, stderrLines, visibleJson } from '../core/index.ts'

const LIMIT: LimitName = 'log_backlog'

/**
 * A logger that writes one JSON line per event to standard error.
 *
 * A line is written before the call returns, if its reader keeps up: the line that explains a crash must not be lost in a
 * buffer. If not, the call returns all the same, and `LineSink` keeps or drops it.
 */
export function createLogger(level: LogLevel): Logger {
  const lines = stderrLines()
  const options = { base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: serializeError } }
  // Whatever the level: it stands for lines of the level.
  let notice = ''
  const noticeLog = pino({ ...options, level: 'warn' }, { write: line => (notice = line) })
  lines.notice = dropped => {
    adapt(noticeLog).warn('log lines dropped', { dropped, limitName: LIMIT })
    return notice
  }
  return adapt(pino({ ...options, level }, { write: line => lines.write(visibleJson(line)) }))
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
