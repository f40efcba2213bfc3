import type { DescMethod, DescService } from '@bufbuild/protobuf'
import type { ConnectRouter, HandlerContext, MethodImpl } from '@connectrpc/connect'
import { type ErrorCode, type Logger, type Metrics, raceAbort, WarrenError, within } from '../core/index.ts'
import { adminPb, apiPb } from '../wire/index.ts'
import { type Caller, callerOf } from './caller.ts'
import type { AdminHandlers, WorkloadHandlers } from './handlers.ts'
import { packed } from './packed.ts'
import { codeOf, toConnectError } from './to-connect-error.ts'

export interface RouteContext {
  readonly log: Logger
  readonly metrics: Metrics
  /** The longest that a call that is not a stream may take. */
  readonly requestMs: number
  /** Label under which calls are counted. */
  readonly service: ServiceName
}

export type ServiceName = 'workload' | 'admin' | 'spiffe'

/** Puts the calls of one service on a router. */
export type Routes = (router: ConnectRouter, context: RouteContext) => void

/** The calls of agent.sock. */
export function workloadRoutes(handlers: WorkloadHandlers): Routes {
  return (router, context) => {
    mount(router, apiPb.WorkloadService, handlers, context)
  }
}

/** The calls of admin.sock. */
export function adminRoutes(handlers: AdminHandlers): Routes {
  return (router, context) => {
    mount(router, adminPb.AdminService, handlers, context)
  }
}

type Handler<R> = (request: unknown, caller: Caller, signal: AbortSignal) => R

export interface MountOptions extends RouteContext {
  /** Looks at a call before its handler does; a throw refuses it. */
  readonly check?: (context: HandlerContext) => void
}

/** Puts the calls of a service on a router, each answered by the handler of its name. */
export function mount(router: ConnectRouter, service: DescService, handlers: object, options: MountOptions): void {
  for (const method of service.methods) {
    // The interface of the handlers is derived from the service, so each method has its function.
    const handler = (handlers as Record<string, Handler<never>>)[method.localName]
    if (handler === undefined) continue
    const bound = handler.bind(handlers)
    const impl = method.methodKind === 'unary' ? unary(bound, method, options) : stream(bound, method, options)
    router.rpc(method, impl as MethodImpl<DescMethod>)
  }
}

function unary(handler: Handler<Promise<unknown>>, method: DescMethod, options: MountOptions) {
  const { requestMs, check } = options
  return async (request: unknown, context: HandlerContext): Promise<unknown> => {
    try {
      check?.(context)
      const caller = callerOf(context)
      const answer = await within(requestMs, [context.signal], signal =>
        // The answer must not wait for a handler that is slow to notice its signal.
        raceAbort(handler(request, caller, signal), signal)
      )
      count('ok', options)
      return answer
    } catch (err) {
      count(outcomeOf(err, context.signal), options)
      throw failure(err, method, options)
    }
  }
}

function stream(handler: Handler<AsyncIterable<object>>, method: DescMethod, options: MountOptions) {
  const { check } = options
  return async function* (request: unknown, context: HandlerContext): AsyncGenerator<unknown> {
    let events: AsyncIterator<object> | undefined
    let outcome: Outcome = 'ok'
    try {
      check?.(context)
      events = handler(request, callerOf(context), context.signal)[Symbol.asyncIterator]()
      for (;;) {
        const event = await raceAbort(events.next(), context.signal)
        if (event.done === true) return
        yield isJson(context) ? event.value : packed(method.output, event.value)
      }
    } catch (err) {
      outcome = outcomeOf(err, context.signal)
      throw failure(err, method, options)
    } finally {
      count(outcome, options)
      // Not awaited: a generator that waits for its signal returns only after it has noticed it.
      events?.return?.()?.catch(() => {})
    }
  }
}

type Outcome = ErrorCode | 'ok' | 'other'

// A caller that closes its connection gets no error; a caller whose deadline passes gets TIMEOUT.
function outcomeOf(err: unknown, signal: AbortSignal): Outcome {
  return codeOf(err) ?? (signal.aborted ? 'ok' : 'other')
}

function count(code: Outcome, { service, metrics }: MountOptions): void {
  countCall(metrics, service, code)
}

/** Counts the end of a call. */
export function countCall(metrics: Metrics, service: ServiceName, code: Outcome): void {
  metrics.count('warren_api_calls_total', { service, code })
}

function isJson({ requestHeader }: HandlerContext): boolean {
  return requestHeader.get('content-type')?.includes('json') === true
}

function failure(err: unknown, method: DescMethod, { log, metrics }: MountOptions): Error {
  if (err instanceof WarrenError && err.limit !== undefined) metrics.hit(err.limit, { method: method.name })
  return toConnectError(err, log, method.name)
}
