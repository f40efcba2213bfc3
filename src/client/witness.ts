import { ErrorCode, raceAbort, WarrenError } from '../core/index.ts'
import type { AgentClient } from './agent-client.ts'
import { type ConnectionEnd, connectionEnd } from './connection-end.ts'

/** Questions of this process to one agent at once; a deny may cut thousands of its connections. */
const MAX_QUESTIONS = 16
/** The reason of a cut is worth this much delay of its error, in milliseconds. */
const REASON_TIMEOUT_MS = 1_000
/** An end that may be a cut is held back for this long at most, in milliseconds; then it is a cut. */
const VERDICT_TIMEOUT_MS = 10_000

/** What the agent of this host knows of one connection. */
export class Witness {
  readonly #client: AgentClient
  readonly #flowId: string

  constructor(client: AgentClient, flowId: string) {
    this.#client = client
    this.#flowId = flowId
  }

  /** Returns `err` with the reason of the cut, if the agent knows it. Never rejects. */
  async explain(err: Error): Promise<Error> {
    const end = await this.#ask(REASON_TIMEOUT_MS).catch(() => undefined)
    return end?.state === 'cut' ? truncated(end.reason, err) : err
  }

  /** Returns the error of a cut, for an end that may be one; undefined if it is none. Never rejects. */
  async verdict(): Promise<Error | undefined> {
    try {
      const { state, reason } = await this.#ask(VERDICT_TIMEOUT_MS)
      if (state === 'open' || state === 'ended') return undefined
      return truncated(state === 'cut' ? reason : 'the agent has started again since')
    } catch (cause) {
      // An agent that is too old for the question.
      if (WarrenError.is(cause, ErrorCode.Unsupported) || WarrenError.is(cause, ErrorCode.NotFound)) return undefined
      return truncated('its agent does not answer', cause)
    }
  }

  /** Resets the connection, where its socket cannot show it. Never rejects. */
  async reset(): Promise<void> {
    const signal = AbortSignal.timeout(REASON_TIMEOUT_MS)
    const { workload } = this.#client
    await inTurn(this.#client, signal, () => workload.resetConnection({ flowId: this.#flowId }, { signal })).catch(
      () => {}
    )
  }

  async #ask(timeoutMs: number): Promise<ConnectionEnd> {
    const signal = AbortSignal.timeout(timeoutMs)
    const client = this.#client
    return await inTurn(client, signal, () => connectionEnd(this.#flowId, { client, signal }))
  }
}

/** The error of a connection that was cut, with the reason if it is known. */
export function truncated(reason?: string, cause?: unknown): WarrenError {
  const text = 'the connection was cut before its end'
  return new WarrenError(ErrorCode.StreamTruncated, reason === undefined ? text : `${text}: ${reason}`, { cause })
}

const turns = new WeakMap<AgentClient, { running: number; readonly waiting: Set<() => void> }>()

async function inTurn<T>(client: AgentClient, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  const queue = turns.get(client) ?? { running: 0, waiting: new Set<() => void>() }
  turns.set(client, queue)
  if (queue.running >= MAX_QUESTIONS) {
    const { promise, resolve } = Promise.withResolvers<void>()
    queue.waiting.add(resolve)
    await raceAbort(promise, signal).finally(() => queue.waiting.delete(resolve))
  }
  queue.running += 1
  try {
    return await call()
  } finally {
    queue.running -= 1
    const [next] = queue.waiting
    if (next !== undefined && queue.waiting.delete(next)) next()
  }
}
