import type { Logger } from '../core/index.ts'
import type { EventFields, EventName } from './definitions.ts'

/** Called for each event of one name. Must not block: it runs inside the code that caused the event. */
export type EventHandler<N extends EventName> = (fields: EventFields[N]) => void

/** The bus as a room uses it to cause events. */
export interface EventSink {
  readonly emit: <N extends EventName>(name: N, fields: EventFields[N]) => void
}

/** The bus as a room uses it to subscribe. */
export interface EventSource {
  /**
   * Calls `handler` for each event from now on, after earlier handlers. Returns a function that ends the subscription.
   */
  readonly on: <N extends EventName>(name: N, handler: EventHandler<N>) => () => void
}

/** Discards everything. For tests and for rooms that are used without an agent. */
export const silentEvents: EventSink = Object.freeze({ emit: () => {} })

/**
 * Carries events to subscribers within one process.
 *
 * An event is delivered before `emit` returns, in the order of subscription: a handler that enforces a change has done
 * so before the caller that made it gets an answer. A handler that throws does not keep others from the event; the
 * failure is logged.
 */
export class EventBus implements EventSink, EventSource {
  readonly #handlers: { [N in EventName]?: Array<EventHandler<N>> } = {}
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
  }

  on<N extends EventName>(name: N, handler: EventHandler<N>): () => void {
    const own: EventHandler<N> = fields => handler(fields)
    const handlers = this.#of(name)
    handlers.push(own)
    return () => {
      const at = handlers.indexOf(own)
      if (at !== -1) handlers.splice(at, 1)
    }
  }

  emit<N extends EventName>(name: N, fields: EventFields[N]): void {
    const handlers: ReadonlyArray<EventHandler<N>> | undefined = this.#handlers[name]
    if (handlers === undefined || handlers.length === 0) return
    // A copy: a handler may end its own subscription.
    for (const handler of [...handlers]) {
      try {
        handler(fields)
      } catch (err) {
        this.#log.error('an event was not handled', { component: name, err })
      }
    }
  }

  #of<N extends EventName>(name: N): Array<EventHandler<N>> {
    const found: Array<EventHandler<N>> | undefined = this.#handlers[name]
    if (found !== undefined) return found
    const made: Array<EventHandler<N>> = []
    Object.assign(this.#handlers, { [name]: made })
    return made
  }
}
