import type { PushedLine } from './reader.ts'
import { type Severity, severityOf } from './severity.ts'

/** As of `journalctl -t`. */
const IDENTIFIER = 'warren-audit'
const PRIORITIES: Readonly<Record<Severity, number>> = { warning: 4, notice: 5, info: 6 }

/**
 * What begins a stream to journald: identifier, unit, priority, whether lines have a priority in front, and whether lines are
 * forwarded to syslog, the kernel's log and the console. As of sd_journal_stream_fd(3).
 */
export const JOURNAL_HEADER: Buffer = Buffer.from(`${IDENTIFIER}\n\n6\n1\n0\n0\n0\n`)

export function journalLine({ text, line }: PushedLine): Buffer {
  return Buffer.from(`<${PRIORITIES[severityOf(line.event)]}>${text}\n`)
}
