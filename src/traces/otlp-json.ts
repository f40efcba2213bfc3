import { type IExportTraceServiceResponse, JsonTraceSerializer } from '@opentelemetry/otlp-transformer'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'

/** A request of OTLP/HTTP in JSON. */
export function spansRequest(spans: readonly ReadableSpan[]): Buffer {
  return Buffer.from(JsonTraceSerializer.serializeRequest([...spans]) ?? '')
}

/** How many spans of a request the collector has refused for ever, by its answer. */
export function rejectedIn(answer: string): number {
  // Any JSON: null as well, and a number as text, as JSON of protobuf has it.
  const response = JsonTraceSerializer.deserializeResponse(Buffer.from(answer)) as IExportTraceServiceResponse | null
  const rejected = Number(response?.partialSuccess?.rejectedSpans ?? 0)
  return Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0
}
