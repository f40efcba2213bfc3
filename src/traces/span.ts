import { hash } from 'node:crypto'
import { type OtlpHost, otlpAttributes, otlpResource, otlpTime } from '../collectors/index.ts'

/** A time span of a trace. */
export interface Span {
  /** Hex. */
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly kind: SpanKind
  /** Milliseconds since the epoch, with fractions. */
  readonly fromMs: number
  readonly toMs: number
  readonly attributes: Readonly<Record<string, unknown>>
  /** Why it failed. */
  readonly failure: string | undefined
}

export type SpanKind = 'internal' | 'server' | 'client'

const KINDS: Readonly<Record<SpanKind, number>> = { internal: 1, server: 2, client: 3 }
/** Status of OTLP. */
const FAILED = 2

/**
 * The trace of a flow: both agents make it of the id that they share, so that nothing has to be sent for it, and an agent without
 * traces needs to know nothing.
 */
export function traceIdOf(flowId: string): string {
  return hash('sha256', `warren trace ${flowId}`, 'hex').slice(0, 32)
}

/** The span of the source's agent, in which that of the destination's agent lies. */
export function sourceSpanIdOf(flowId: string): string {
  return hash('sha256', `warren span ${flowId}`, 'hex').slice(0, 16)
}

/** A request of OTLP/HTTP in JSON. */
export function spansRequest(spans: readonly Span[], host: OtlpHost): Buffer {
  const scopeSpans = [{ scope: { name: 'warren.flows', version: host.version }, spans: spans.map(spanMessage) }]
  return Buffer.from(JSON.stringify({ resourceSpans: [{ resource: otlpResource(host), scopeSpans }] }))
}

function spanMessage({ kind, fromMs, toMs, attributes, failure, ...ids }: Span): object {
  return {
    ...ids,
    kind: KINDS[kind],
    startTimeUnixNano: otlpTime(fromMs),
    endTimeUnixNano: otlpTime(toMs),
    attributes: otlpAttributes(attributes),
    ...(failure === undefined ? {} : { status: { code: FAILED, message: failure } })
  }
}
