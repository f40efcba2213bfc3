import type { MessageInitShape } from '@bufbuild/protobuf'
import { detach, ErrorCode, type Logger, type Protocol, WarrenError } from '../../core/index.ts'
import { parsePattern } from '../../identity/index.ts'
import type { DataPlane, ListenerRoute, Strategy } from '../../proxy/index.ts'
import type { apiPb } from '../../wire/index.ts'
import type { Caller } from '../index.ts'
import { CallerSource, type CallerSourceDeps } from './caller-source.ts'

type Event = MessageInitShape<typeof apiPb.ListenResponseSchema>['event']

export interface ListenDeps extends CallerSourceDeps {
  readonly listen: DataPlane['listenOnPassed']
  readonly log: Logger
}

/** A request to listen, of which the enumerations are read. */
export type ListenInput = Pick<
  apiPb.ListenRequest,
  'path' | 'source' | 'destination' | 'keepAliveMs' | 'idleMs' | 'oneQuestion' | 'application'
> & { readonly protocol: Protocol; readonly strategy: Strategy }

const ALIVE: NonNullable<Event> = { case: 'listening', value: {} }
const ALIVE_MS = 15_000
/** Failures that wait for their reader; those beyond it are not sent. */
const MAX_WAITING = 64
const LONGEST_IDLE_MS = 120_000
/** Clients are looked at four times as often. */
const SHORTEST_IDLE_MS = 100
/** The system counts seconds, up to 32,767. */
const LONGEST_KEEP_ALIVE_MS = 9 * 3_600_000

/** Serves the clients of a listener that the caller has passed, until the caller leaves, or the signal aborts. */
export async function* listenForCaller(
  deps: ListenDeps,
  input: ListenInput,
  caller: Caller,
  signal: AbortSignal
): AsyncGenerator<{ readonly event: NonNullable<Event> }> {
  const over = new AbortController()
  const events: NonNullable<Event>[] = []
  let wake = (): void => {}
  const send = (event: NonNullable<Event>): void => {
    if (events.length < MAX_WAITING) events.push(event)
    wake()
  }
  const source = new CallerSource(deps, registrationOf(input), caller, over.signal)
  const listener = await deps.listen({
    path: input.path,
    user: caller,
    route: routeOf(input),
    parts: {
      acquire: () => source.acquire(),
      onFailure: ({ code, reason, hint = '' }) => send({ case: 'failure', value: { code, reason, hint } }),
      onDrops: value => send({ case: 'dropped', value })
    },
    signal
  })
  const end = (): void => {
    const isStopping = WarrenError.is(signal.reason, ErrorCode.NotReady)
    // First the flows, with the reason; then their source.
    const closed = listener.close(isStopping ? 'stopping' : 'left')
    over.abort(new WarrenError(ErrorCode.InvalidSource, 'the listener was closed'))
    wake()
    detach(deps.log, 'end of a passed listener', closed)
  }
  signal.addEventListener('abort', end, { once: true })
  detach(deps.log, 'end of a passed listener', listener.left.then(end))
  if (signal.aborted) end()
  try {
    yield { event: ALIVE }
    while (!over.signal.aborted) {
      const event = events.shift()
      if (event !== undefined) {
        yield { event }
        continue
      }
      const pause = Promise.withResolvers<void>()
      wake = pause.resolve
      const timer = setTimeout(pause.resolve, ALIVE_MS)
      await pause.promise
      clearTimeout(timer)
      if (events.length === 0 && !over.signal.aborted) yield { event: ALIVE }
    }
  } finally {
    signal.removeEventListener('abort', end)
    end()
  }
}

function routeOf(input: ListenInput): ListenerRoute {
  const { destination, protocol, strategy, oneQuestion } = input
  const idleMs = input.idleMs === 0 ? LONGEST_IDLE_MS : input.idleMs
  return {
    destination: parsePattern(destination),
    protocol,
    strategy,
    oneQuestion,
    idleMs: Math.min(LONGEST_IDLE_MS, Math.max(SHORTEST_IDLE_MS, idleMs)),
    keepAliveMs: Math.min(LONGEST_KEEP_ALIVE_MS, input.keepAliveMs)
  }
}

function registrationOf({ source, application }: ListenInput) {
  return { address: source, application, target: undefined, whitelist: [], labels: {}, ttlMs: 0, ownerPid: 0 }
}
