import { randomBytes } from 'node:crypto'
import type { Clock } from '../core/index.ts'
import type { FlowInfo, FlowTrace, FlowTracer } from '../proxy/index.ts'
import { type Span, type SpanKind, sourceSpanIdOf, traceIdOf } from './span.ts'

type Direction = FlowInfo['direction']

/** More steps of one opening are not kept: a source may try many instances. */
const MAX_STEPS = 32
const KINDS: Readonly<Record<Direction, SpanKind>> = { outbound: 'client', inbound: 'server', local: 'internal' }

interface Step {
  readonly name: string
  readonly machine: string | undefined
  readonly fromMs: number
}

/** Makes the spans of a flow when it is open or has failed: one for all of the opening here, and one for each step. */
export function flowTracer(clock: Clock, emit: (spans: readonly Span[]) => void): FlowTracer {
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
          const traceId = traceIdOf(flowId)
          const sourceSpanId = sourceSpanIdOf(flowId)
          const isInbound = direction === 'inbound'
          const spanId = isInbound ? newSpanId() : sourceSpanId
          const all: Span = {
            traceId,
            spanId,
            parentSpanId: isInbound ? sourceSpanId : undefined,
            name: isInbound ? 'accept flow' : 'open flow',
            kind: KINDS[fields.direction],
            fromMs: wallMs,
            toMs,
            attributes: {
              'warren.flow_id': flowId,
              'warren.source': fields.source,
              'warren.destination': fields.destination,
              'warren.protocol': fields.protocol,
              'warren.carrier': fields.carrier,
              'warren.rule': fields.rule,
              'error.type': failure?.code
            },
            failure: failure?.reason
          }
          emit([all, ...stepSpans(steps, all)])
        }
      }
    }
  }
}

/** A step lasts until the next one; the last one failed if the flow did. */
function stepSpans(steps: readonly Step[], { traceId, spanId: parentSpanId, toMs, failure }: Span): Span[] {
  return steps.map(({ name, machine, fromMs }, index) => ({
    traceId,
    spanId: newSpanId(),
    parentSpanId,
    name,
    kind: 'internal',
    fromMs,
    toMs: steps[index + 1]?.fromMs ?? toMs,
    attributes: { 'warren.machine': machine },
    failure: index === steps.length - 1 ? failure : undefined
  }))
}

function newSpanId(): string {
  return randomBytes(8).toString('hex')
}
