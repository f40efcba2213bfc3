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
 * Takes note of what happens, for operators. Injected like a Logger; never throws.
 *
 * For events. What is a state already (how many flows there are, how many bytes they carried) is read when somebody
 * looks, so that counting it costs nothing while nobody does.
 */
export interface Metrics {
  /** Adds to a counter, one unless `by` says otherwise. */
  readonly count: <N extends CounterName>(name: N, labels: LabelsOf<N>, by?: number) => void
  readonly set: <N extends GaugeName>(name: N, labels: LabelsOf<N>, value: number) => void
  readonly observe: <N extends HistogramName>(name: N, labels: LabelsOf<N>, value: number) => void
  /**
   * A limit was reached: counts it, and says so in the log, one line for each limit and minute however often it is.
   *
   * Whoever throws an error that carries its `limit` leaves this to whoever answers with that error.
   */
  readonly hit: (limit: LimitName, fields?: LogFields) => void
}

const nothing = (): void => {}

/** Takes note of nothing. For tests and for library users. */
export const silentMetrics: Metrics = Object.freeze({ count: nothing, set: nothing, observe: nothing, hit: nothing })
