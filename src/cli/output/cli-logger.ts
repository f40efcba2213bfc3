import type { LogFields, Logger } from '../../core/index.ts'
import { clause } from './report.ts'

/** Prints the log of the client library for the person who watches a long-running command. */
export function cliLogger(say: (text: string) => void): Logger {
  const line = (message: string, fields: LogFields = {}): void => {
    const subject = fields.address === undefined || fields.address === '' ? '' : ` (${fields.address})`
    say(`${message}${subject}${fields.err === undefined ? '' : `: ${clause(fields.err)}`}`)
  }
  const logger: Logger = { error: line, warn: line, info: line, debug: () => {}, child: () => logger }
  return logger
}
