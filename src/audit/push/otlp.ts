import type { PushingHost } from './host.ts'
import type { PushedLine } from './reader.ts'
import { type Severity, severityOf } from './severity.ts'

const SEVERITIES: Readonly<Record<Severity, readonly [number, string]>> = {
  warning: [13, 'WARN'],
  notice: [10, 'INFO2'],
  info: [9, 'INFO']
}

interface Attribute {
  readonly key: string
  readonly value:
    | { readonly stringValue: string }
    | { readonly boolValue: boolean }
    | { readonly intValue: string }
    | { readonly doubleValue: number }
}

/** A request of OTLP/HTTP in JSON, whose log records have the lines of the log as their bodies. */
export function otlpRequest(lines: readonly PushedLine[], host: PushingHost, nowMs: number): Buffer {
  const { machine, trustDomain, peer, version } = host
  const resource = {
    'service.name': 'warren',
    'service.version': version,
    'host.name': machine,
    'warren.trust_domain': trustDomain,
    'warren.peer': peer
  }
  const observedTimeUnixNano = nano(nowMs)
  const logRecords = lines.map(one => ({ ...logRecord(one), observedTimeUnixNano }))
  const scopeLogs = [{ scope: { name: 'warren.audit', version }, logRecords }]
  return Buffer.from(JSON.stringify({ resourceLogs: [{ resource: { attributes: attributes(resource) }, scopeLogs }] }))
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
    timeUnixNano: nano(Date.parse(line.at)),
    severityNumber,
    severityText,
    eventName: `warren.${line.event}`,
    body: { stringValue: text },
    attributes: attributes({ 'warren.seq': line.seq, ...fields })
  }
}

function attributes(values: Readonly<Record<string, unknown>>): Attribute[] {
  return Object.entries(values).flatMap(([key, value]): Attribute[] => {
    if (value === undefined || value === null) return []
    if (typeof value === 'boolean') return [{ key, value: { boolValue: value } }]
    if (Number.isSafeInteger(value)) return [{ key, value: { intValue: String(value) } }]
    if (typeof value === 'number') return [{ key, value: { doubleValue: value } }]
    return [{ key, value: { stringValue: typeof value === 'string' ? value : JSON.stringify(value) } }]
  })
}

// Beyond what a number holds.
function nano(ms: number): string {
  return `${Number.isFinite(ms) ? Math.trunc(ms) : 0}000000`
}
