import type { Logger } from '../core/index.ts'
import type { EventFields, EventName } from './definitions.ts'

/** Called for each event of one name. Must not block: it runs within whatever caused the event. */
export type EventHandler<N extends EventName> = (fields: EventFields[N]) => void

/** What a room that causes events asks for. */
export interface EventSink {
  readonly emit: <N extends EventName>(name: N, fields: EventFields[N]) => void
}

/** What a room that listens asks for. */
export interface EventSource {
  /** Calls `handler` for each event from now on, after the handlers that were there before; answers how to stop it. */
  readonly on: <N extends EventName>(name: N, handler: EventHandler<N>) => () => void
}

/** Takes note of nothing. For tests and for rooms that are used without an agent. */
export const silentEvents: EventSink = Object.freeze({ emit: () => {} })

/**
 * Carries events from whoever causes them to whoever listens, within one process.
 *
 * An event is delivered before `emit` returns, in the order of subscription: so what enforces a change has done so before
 * the one who made it is answered. A handler that throws keeps no other one from its event; the failure is logged.
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
