import { type Logger, raceAbort, within } from '../core/index.ts'
import type { Flow, FlowTable } from './flow/index.ts'

export interface DrainOptions {
  /**
   * Flows to workloads of this host, or all; with `all` no new flow is opened either. Or those of now that the next process of the
   * agent cannot continue.
   */
  readonly flows: 'to this host' | 'all' | 'others'
  /** Time for them to finish; flows that remain are reset. */
  readonly timeoutMs: number
  /** Stops waiting, without a reset. */
  readonly signal: AbortSignal
}

export interface Drained {
  /** Flows that ended in order. */
  readonly finished: number
  /** Flows that were cut: by their ends, by other hosts or by a rule meanwhile, or because the time was over. */
  readonly reset: number
  readonly undone: boolean
}

/** Lets flows finish within a time limit. Never rejects. */
export async function drainFlows(
  flows: FlowTable,
  { flows: which, timeoutMs, signal }: DrainOptions,
  log: Logger,
  canLeave: (flow: Flow) => boolean
): Promise<Drained> {
  const present = new Set(flows.those(flow => !canLeave(flow)))
  const isMeant = (flow: Flow): boolean =>
    which === 'others' ? present.has(flow) : which === 'all' || flow.direction !== 'outbound'
  if (which === 'all') flows.close('the agent is stopping')
  const begun = flows.those(isMeant)
  await within(timeoutMs, [signal], async limit => {
    while (flows.some(isMeant)) await raceAbort(flows.left(), limit)
  }).catch(() => {})
  const endedInOrder = begun.filter(({ endedAs }) => endedAs === 'ended' || endedAs === 'done').length
  const wereCut = begun.filter(({ endedAs }) => endedAs !== undefined).length - endedInOrder
  if (signal.aborted) return { finished: endedInOrder, reset: wereCut, undone: true }
  const text = `drained: not finished within ${timeoutMs / 1_000} s`
  const late = flows.review(flow => (isMeant(flow) ? { kind: 'shutdown', text } : undefined))
  const reset = wereCut + late
  log.info('flows drained', { count: reset, reason: `${endedInOrder} finished, ${reset} reset` })
  return { finished: endedInOrder, reset, undone: false }
}
