import { otlpAttributes, otlpResource, otlpTime } from '../../collectors/index.ts'
import type { PushingHost } from './host.ts'
import type { PushedLine } from './reader.ts'
import { type Severity, severityOf } from './severity.ts'

const SEVERITIES: Readonly<Record<Severity, readonly [number, string]>> = {
  warning: [13, 'WARN'],
  notice: [10, 'INFO2'],
  info: [9, 'INFO']
}

/** A request of OTLP/HTTP in JSON, whose log records have the lines of the log as their bodies. */
export function otlpRequest(lines: readonly PushedLine[], host: PushingHost, nowMs: number): Buffer {
  const observedTimeUnixNano = otlpTime(nowMs)
  const logRecords = lines.map(one => ({ ...logRecord(one), observedTimeUnixNano }))
  const scopeLogs = [{ scope: { name: 'warren.audit', version: host.version }, logRecords }]
  return Buffer.from(JSON.stringify({ resourceLogs: [{ resource: otlpResource(host), scopeLogs }] }))
}

/** How many records of a request the receiver has refused for ever, by its answer. */
export function rejectedIn(answer: string): number {
  try {
    const parsed = JSON.parse(answer) as { partialSuccess?: { rejectedLogRecords?: unknown } } | null
    const rejected = Number(parsed?.partialSuccess?.rejectedLogRecords ?? 0)
    return Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0
  } catch {
    return 0
  }
}

function logRecord({ text, line }: PushedLine): object {
  const [severityNumber, severityText] = SEVERITIES[severityOf(line.event)]
  const fields = Object.fromEntries(Object.entries(line.fields).map(([name, value]) => [`warren.${name}`, value]))
  return {
    timeUnixNano: otlpTime(Date.parse(line.at)),
    severityNumber,
    severityText,
    eventName: `warren.${line.event}`,
    body: { stringValue: text },
    attributes: otlpAttributes({ 'warren.seq': line.seq, ...fields })
  }
}
