import type { PushingHost } from './host.ts'
import type { PushedLine } from './reader.ts'
import { type Severity, severityOf } from './severity.ts'

/** "Log audit", RFC 5424 section 6.2.1. */
const FACILITY = 13
const SEVERITIES: Readonly<Record<Severity, number>> = { warning: 4, notice: 5, info: 6 }
/** The number of examples (RFC 5612): this program has no number of its own. */
const STRUCTURE = 'warren@32473'
/** Fields that a receiver searches for without reading the JSON. */
const SEARCHED = ['source', 'destination', 'flowId', 'rule', 'code']
/** A value beyond is cut: the whole one is in the JSON. */
const MAX_VALUE_LENGTH = 255
const MAX_HOSTNAME_LENGTH = 255
const MAX_MSGID_LENGTH = 32

/** A message of RFC 5424 whose text is the line of the log. */
export function syslogMessage({ text, line }: PushedLine, host: PushingHost): Buffer {
  const priority = FACILITY * 8 + SEVERITIES[severityOf(line.event)]
  const header = [
    `<${priority}>1`,
    line.at,
    ascii(host.machine, MAX_HOSTNAME_LENGTH),
    'warren',
    '-',
    ascii(line.event, MAX_MSGID_LENGTH)
  ]
  return Buffer.from(`${header.join(' ')} ${structure({ text, line }, host)} ${text}`)
}

/** With its length in front: RFC 6587 section 3.4.1, and RFC 5425 for TLS. */
export function framedSyslog(line: PushedLine, host: PushingHost): Buffer {
  const message = syslogMessage(line, host)
  return Buffer.concat([Buffer.from(`${message.length} `), message])
}

function structure({ line }: PushedLine, { trustDomain, peer, version }: PushingHost): string {
  const own: [string, unknown][] = [
    ['seq', line.seq],
    ['trustDomain', trustDomain],
    ['peer', peer],
    ...SEARCHED.map(name => [name, line.fields[name]] as [string, unknown])
  ]
  const given = own.filter(([, value]) => typeof value === 'string' || typeof value === 'number')
  return `[origin software="warren" swVersion="${escaped(version)}"][${STRUCTURE} ${given
    .map(([name, value]) => `${name}="${escaped(String(value))}"`)
    .join(' ')}]`
}

function escaped(value: string): string {
  return value.slice(0, MAX_VALUE_LENGTH).replace(/["\\\]]/g, '\\$&')
}

function ascii(text: string, maxLength: number): string {
  return text.replace(/[^!-~]/g, '?').slice(0, maxLength) || '-'
}
