import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { AgentClient, Strategy } from '../../../client/index.ts'
import {
  descriptorOf,
  ErrorCode,
  isErrorCode,
  type Protocol,
  raceAbort,
  WarrenError,
  within
} from '../../../core/index.ts'
import type { ClientLife, PassingCalls } from '../../../listeners/index.ts'
import { apiPb } from '../../../wire/index.ts'

/** Where the clients of a listener are led, and how they are treated. */
export interface Route extends ClientLife {
  /** The address of the source. */
  readonly source: string
  readonly destination: string
  readonly protocol: Protocol
  readonly strategy: Strategy
  /** Zero: never. */
  readonly keepAliveMs: number
  readonly application: string
}

export interface PassOptions {
  readonly client: AgentClient
  readonly calls: Pick<PassingCalls, 'send'>
  /** The sockets of the listener; they stay open in this process. */
  readonly descriptors: readonly number[]
  readonly route: Route
  /** Called for each client that could not be connected, or whose connection was cut. */
  readonly onFailure: (err: unknown) => void
  /** Told of dropped datagrams, at most once a minute. */
  readonly onDrops: (text: string) => void
}

/** A listener whose clients the agent takes. */
export interface AgentListener {
  /** Settled when the agent takes no more clients. Never rejects. */
  readonly ended: Promise<void>
  /** Makes the agent close its sockets, and waits until it has. Never rejects. */
  readonly close: () => Promise<void>
}

const PROTOCOLS = { tcp: apiPb.Protocol.TCP, udp: apiPb.Protocol.UDP } as const
const STRATEGIES = {
  balanced: apiPb.Strategy.BALANCED,
  spread: apiPb.Strategy.SPREAD,
  first: apiPb.Strategy.FIRST,
  sticky: apiPb.Strategy.STICKY,
  exact: apiPb.Strategy.EXACT
} as const

/** Time for the agent to take the listener, in milliseconds. */
const PASS_MS = 10_000
/** Time for the agent to close its sockets, in milliseconds. */
const CLOSE_MS = 2_000

/**
 * Passes the sockets of a listener to the agent. Resolves once the agent takes its clients.
 *
 * Rejects with UNSUPPORTED by an agent that is too old or cannot, LIMIT_EXCEEDED, AGENT_NOT_RUNNING or another error of the agent.
 */
export async function passListener(options: PassOptions, signal: AbortSignal): Promise<AgentListener> {
  const { client } = options
  const ending = new AbortController()
  let connection: Socket | undefined
  try {
    const { path } = await client.workload.prepareListener({}, { signal })
    connection = await connectTo(client, path, signal)
    options.calls.send(descriptorOf(connection), options.descriptors)
    const events = client.workload
      .listen(requestOf(path, options.route), { signal: ending.signal })
      [Symbol.asyncIterator]()
    const first = await within(PASS_MS, [signal], limit => raceAbort(events.next(), limit))
    if (first.done === true) throw new WarrenError(ErrorCode.AgentNotRunning, 'the agent ended')
    return follow(connection, events, ending, options)
  } catch (err) {
    ending.abort()
    connection?.destroy()
    throw err
  }
}

function requestOf(path: string, route: Route) {
  const [protocol, strategy] = [PROTOCOLS[route.protocol], STRATEGIES[route.strategy]]
  return { ...route, path, protocol, strategy }
}

async function connectTo(client: AgentClient, path: string, signal: AbortSignal): Promise<Socket> {
  const connection = client.dial(path)
  // The handler stays: the end of the connection is what counts.
  connection.on('error', () => {})
  await within(PASS_MS, [signal], limit => once(connection, 'connect', { signal: limit }))
  return connection
}

function follow(
  connection: Socket,
  events: AsyncIterator<apiPb.ListenResponse>,
  ending: AbortController,
  { onFailure, onDrops }: PassOptions
): AgentListener {
  const read = async (): Promise<void> => {
    for (;;) {
      const { done, value } = await events.next()
      if (done === true) return
      const { event } = value
      if (event.case === 'failure') onFailure(errorOf(event.value))
      else if (event.case === 'dropped') onDrops(event.value)
    }
  }
  // An agent that has ended sends no reason; another one may take the listener.
  const ended = read()
    .catch(() => {})
    .finally(() => connection.destroy())
  const closed = new Promise<void>(resolve => void connection.once('close', () => resolve()))
  connection.resume()
  return {
    ended,
    async close() {
      connection.end()
      await within(CLOSE_MS, [], limit => raceAbort(closed, limit)).catch(() => {})
      ending.abort()
      await ended
    }
  }
}

function errorOf({ code, reason, hint }: apiPb.ListenFailure): WarrenError {
  return new WarrenError(isErrorCode(code) ? code : ErrorCode.CannotConnect, reason, hint === '' ? {} : { hint })
}
