import type { Tracer } from '@opentelemetry/api'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { type SpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { hostAttributes, type OtlpHost } from '../collectors/index.ts'
import { FlowIds } from './flow-ids.ts'

/** The SDK of OpenTelemetry, set up for the flows of a host. None of it is global. */
export interface FlowSpans {
  readonly tracer: Tracer
  readonly ids: FlowIds
  shutdown(): Promise<void>
}

/** Every span that ends comes to `processor`. */
export function openFlowSpans(host: OtlpHost, processor: SpanProcessor): FlowSpans {
  const ids = new FlowIds()
  const resource = resourceFromAttributes(hostAttributes(host))
  const provider = new TracerProvider({ resource, idGenerator: ids, spanProcessors: [processor] })
  return { tracer: provider.getTracer('warren.flows', host.version), ids, shutdown: () => provider.shutdown() }
}
