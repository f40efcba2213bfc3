import {
  type Attributes,
  type Context,
  type HrTime,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace
} from '@opentelemetry/api'
import type { Clock } from '../core/index.ts'
import type { FlowInfo, FlowTrace, FlowTracer } from '../proxy/index.ts'
import { sourceSpanIdOf, traceIdOf } from './flow-ids.ts'
import type { FlowSpans } from './provider.ts'

type Direction = FlowInfo['direction']
type Fields = Parameters<FlowTrace['ended']>[0]

/** More steps of one opening are not kept: a source may try many instances. */
const MAX_STEPS = 32
const KINDS: Readonly<Record<Direction, SpanKind>> = {
  outbound: SpanKind.CLIENT,
  inbound: SpanKind.SERVER,
  local: SpanKind.INTERNAL
}

interface Step {
  readonly name: string
  readonly machine: string | undefined
  readonly fromMs: number
}

/** Makes the spans of a flow when it is open or has failed: one for all of the opening here, and one for each step. */
export function flowTracer(clock: Clock, { tracer, ids }: FlowSpans): FlowTracer {
  return {
    begin(flowId, direction): FlowTrace {
      const [wallMs, monotonicMs] = [clock.wallMs(), clock.monotonicMs()]
      const now = (): number => wallMs + clock.monotonicMs() - monotonicMs
      const steps: Step[] = []
      return {
        step(name, machine) {
          if (steps.length < MAX_STEPS) steps.push({ name, machine, fromMs: now() })
        },
        ended(fields, failure) {
          const toMs = now()
          const options = {
            kind: KINDS[fields.direction],
            startTime: hrTime(wallMs),
            attributes: { ...attributesOf(flowId, fields), 'error.type': failure?.code }
          }
          const all =
            direction === 'inbound'
              ? tracer.startSpan('accept flow', options, belowSource(flowId))
              : ids.ofSource(flowId, () => tracer.startSpan('open flow', options, ROOT_CONTEXT))
          // Before its steps: if the room ends, it is the one that is kept.
          end(all, toMs, failure?.reason)
          const below = trace.setSpan(ROOT_CONTEXT, all)
          for (const [index, { name, machine, fromMs }] of steps.entries()) {
            const attributes = { 'warren.machine': machine }
            const step = tracer.startSpan(name, { startTime: hrTime(fromMs), attributes }, below)
            // A step lasts until the next one; the last one failed if the flow did.
            const next = steps[index + 1]
            end(step, next?.fromMs ?? toMs, next === undefined ? failure?.reason : undefined)
          }
        }
      }
    }
  }
}

function attributesOf(flowId: string, { source, destination, protocol, carrier, rule }: Fields): Attributes {
  return {
    'warren.flow_id': flowId,
    'warren.source': source,
    'warren.destination': destination,
    'warren.protocol': protocol,
    'warren.carrier': carrier,
    'warren.rule': rule
  }
}

function belowSource(flowId: string): Context {
  const source = { traceId: traceIdOf(flowId), spanId: sourceSpanIdOf(flowId), traceFlags: TraceFlags.SAMPLED }
  return trace.setSpanContext(ROOT_CONTEXT, { ...source, isRemote: true })
}

function end(span: Span, ms: number, failure: string | undefined): void {
  if (failure !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: failure })
  span.end(hrTime(ms))
}

/** To a microsecond. The SDK would take a small number for a time since the start of the process. */
function hrTime(ms: number): HrTime {
  const micros = Math.max(0, Math.round(ms * 1_000))
  return [Math.floor(micros / 1_000_000), (micros % 1_000_000) * 1_000]
}
