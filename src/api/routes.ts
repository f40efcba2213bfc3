import type { DescMethod, DescService } from '@bufbuild/protobuf'
import type { ConnectRouter, HandlerContext, MethodImpl } from '@connectrpc/connect'
import { type Logger, raceAbort, within } from '../core/index.ts'
import { adminPb, apiPb } from '../wire/index.ts'
import { type Caller, callerOf } from './caller.ts'
import type { AdminHandlers, WorkloadHandlers } from './handlers.ts'
import { toConnectError } from './to-connect-error.ts'

/** Puts the calls of one service on a router. `requestMs` is the longest a call that is not a stream may take. */
export type Routes = (router: ConnectRouter, log: Logger, requestMs: number) => void

/** The calls of agent.sock. */
export function workloadRoutes(handlers: WorkloadHandlers): Routes {
  return (router, log, requestMs) => {
    mount(router, apiPb.WorkloadService, handlers, log, requestMs)
  }
}

/** The calls of admin.sock. */
export function adminRoutes(handlers: AdminHandlers): Routes {
  return (router, log, requestMs) => {
    mount(router, adminPb.AdminService, handlers, log, requestMs)
  }
}

type Handler<R> = (request: unknown, caller: Caller, signal: AbortSignal) => R

function mount(router: ConnectRouter, service: DescService, handlers: object, log: Logger, requestMs: number): void {
  for (const method of service.methods) {
    // The interface of the handlers is derived from the service, so each method has its function.
    const handler = (handlers as Record<string, Handler<never>>)[method.localName]
    if (handler === undefined) continue
    const bound = handler.bind(handlers)
    const impl =
      method.methodKind === 'server_streaming' ? stream(bound, method, log) : unary(bound, method, log, requestMs)
    router.rpc(method, impl as MethodImpl<DescMethod>)
  }
}

function unary(handler: Handler<Promise<unknown>>, method: DescMethod, log: Logger, requestMs: number) {
  return async (request: unknown, context: HandlerContext): Promise<unknown> => {
    try {
      const caller = callerOf(context)
      return await within(requestMs, [context.signal], signal =>
        // The answer must not wait for a handler that is slow to notice its signal.
        raceAbort(handler(request, caller, signal), signal)
      )
    } catch (err) {
      throw toConnectError(err, log, method.name)
    }
  }
}

function stream(handler: Handler<AsyncIterable<unknown>>, method: DescMethod, log: Logger) {
  return async function* (request: unknown, context: HandlerContext): AsyncGenerator<unknown> {
    let events: AsyncIterator<unknown> | undefined
    try {
      events = handler(request, callerOf(context), context.signal)[Symbol.asyncIterator]()
      for (;;) {
        const event = await raceAbort(events.next(), context.signal)
        if (event.done === true) return
        yield event.value
      }
    } catch (err) {
      throw toConnectError(err, log, method.name)
    } finally {
      // Not awaited: a generator that waits for its signal returns only after it has noticed it.
      events?.return?.()?.catch(() => {})
    }
  }
}
