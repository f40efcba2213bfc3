import type { LogFields } from '../log.ts'
import type { METRICS } from './definitions.ts'
import type { LimitName } from './limit-names.ts'

type Table = typeof METRICS
type NamesOf<Kind> = { [N in keyof Table]: Table[N]['kind'] extends Kind ? N : never }[keyof Table]

export type MetricName = keyof Table
export type CounterName = NamesOf<'counter'>
export type GaugeName = NamesOf<'gauge'>
export type HistogramName = NamesOf<'histogram'>

/** The labels of a metric, each with one of its values. */
export type LabelsOf<N extends MetricName> = {
  readonly [L in keyof Table[N]['labels']]: Table[N]['labels'][L] extends readonly (infer Value)[] ? Value : never
}

/**
 * Counts events for operators. Injected like a Logger; never throws.
 *
 * Use it for events. State (number of flows, bytes carried) is read at each scrape, so that it costs nothing in
 * between.
 */
export interface Metrics {
  /** Adds `by` to a counter. @default 1 */
  readonly count: <N extends CounterName>(name: N, labels: LabelsOf<N>, by?: number) => void
  readonly set: <N extends GaugeName>(name: N, labels: LabelsOf<N>, value: number) => void
  readonly observe: <N extends HistogramName>(name: N, labels: LabelsOf<N>, value: number) => void
  /**
   * Counts that a limit was reached, and logs it, at most one line for each limit and minute.
   *
   * Code that throws an error with a `limit` leaves this to the code that answers with that error.
   */
  readonly hit: (limit: LimitName, fields?: LogFields) => void
}

const nothing = (): void => {}

/** Discards everything. For tests and for library users. */
export const silentMetrics: Metrics = Object.freeze({ count: nothing, set: nothing, observe: nothing, hit: nothing })
