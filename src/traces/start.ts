import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { HttpReceiver, type OtlpHost, readTlsFiles, readToken } from '../collectors/index.ts'
import type { OtlpTarget } from '../config/index.ts'
import type { Clock, Logger, Metrics } from '../core/index.ts'
import type { FlowTracer } from '../proxy/index.ts'
import { flowTracer } from './flow-tracer.ts'
import { rejectedIn, spansRequest } from './otlp-json.ts'
import { openFlowSpans } from './provider.ts'
import { SpanQueue } from './span-queue.ts'

export interface TracingOptions {
  readonly target: OtlpTarget
  readonly host: OtlpHost
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly resources: AsyncDisposableStack
}

/** Spans of one request. */
const MAX_SPANS = 512

/** What `openTraces` loads only when traces are wanted. */
export function startTracing({ target, host, clock, log, metrics, resources }: TracingOptions): FlowTracer {
  const { url, tls, token, name } = target
  if (tls !== undefined) readTlsFiles(tls)
  if (token !== undefined) readToken(token)
  const receiver = new HttpReceiver<ReadableSpan>({
    url,
    tls,
    token,
    headers: () => ({ 'content-type': 'application/json' }),
    body: spansRequest,
    maxItems: MAX_SPANS,
    onAnswer: answer => queue.rejected(rejectedIn(answer))
  })
  const queue = new SpanQueue({ receiver, name, monotonicMs: clock.monotonicMs, log, metrics })
  const spans = openFlowSpans(host, queue)
  queue.start()
  resources.defer(() => spans.shutdown())
  log.info('the opening of each flow is traced', { address: name })
  return flowTracer(clock, spans)
}
