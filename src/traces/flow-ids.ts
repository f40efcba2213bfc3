import { hash } from 'node:crypto'
import { type IdGenerator, RandomIdGenerator } from '@opentelemetry/sdk-trace'

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

/** Gives the span of a flow's source the ids that both agents know, and all other spans a random one. */
export class FlowIds implements IdGenerator {
  readonly #random = new RandomIdGenerator()
  #flowId: string | undefined

  /** The span that `start` starts is that of the source. */
  ofSource<T>(flowId: string, start: () => T): T {
    this.#flowId = flowId
    try {
      return start()
    } finally {
      this.#flowId = undefined
    }
  }

  generateTraceId(): string {
    return this.#flowId === undefined ? this.#random.generateTraceId() : traceIdOf(this.#flowId)
  }

  generateSpanId(): string {
    return this.#flowId === undefined ? this.#random.generateSpanId() : sourceSpanIdOf(this.#flowId)
  }
}
