import { type Logger, raceAbort, within } from '../core/index.ts'
import type { Flow, FlowTable } from './flow/index.ts'

export interface DrainOptions {
  /** Flows to workloads of this host, or all; with `all` no new flow is opened either. */
  readonly flows: 'to this host' | 'all'
  /** Time for them to finish; flows that remain are reset. */
  readonly timeoutMs: number
  /** Stops waiting, without a reset. */
  readonly signal: AbortSignal
}

export interface Drained {
  readonly finished: number
  readonly reset: number
  readonly undone: boolean
}

/** Lets flows finish within a time limit. Never rejects. */
export async function drainFlows(
  flows: FlowTable,
  { flows: which, timeoutMs, signal }: DrainOptions,
  log: Logger
): Promise<Drained> {
  const isMeant = (flow: Flow): boolean => which === 'all' || flow.direction !== 'outbound'
  if (which === 'all') flows.close('the agent is stopping')
  const begun = flows.count(isMeant)
  await within(timeoutMs, [signal], async limit => {
    while (flows.count(isMeant) > 0) await raceAbort(flows.left(), limit)
  }).catch(() => {})
  const left = flows.count(isMeant)
  const finished = Math.max(0, begun - left)
  if (signal.aborted) return { finished, reset: 0, undone: true }
  const text = `drained: not finished within ${timeoutMs / 1_000} s`
  const reset = flows.review(flow => (isMeant(flow) ? { kind: 'shutdown', text } : undefined))
  log.info('flows drained', { count: reset, reason: `${finished} finished, ${reset} reset` })
  return { finished, reset, undone: false }
}
