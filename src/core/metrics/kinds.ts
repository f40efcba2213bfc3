/** Every label with all its possible values: the cost of a metric is known before any peer connects. */
export type Labels = Readonly<Record<string, readonly string[]>>

export interface CounterDefinition<L extends Labels = Labels> {
  readonly kind: 'counter'
  readonly help: string
  readonly labels: L
}

export interface GaugeDefinition<L extends Labels = Labels> {
  readonly kind: 'gauge'
  readonly help: string
  readonly labels: L
}

export interface HistogramDefinition<L extends Labels = Labels> {
  readonly kind: 'histogram'
  readonly help: string
  readonly labels: L
  /** Upper bounds, in the unit of the metric. */
  readonly buckets: readonly number[]
}

export type MetricDefinition = CounterDefinition | GaugeDefinition | HistogramDefinition

export function counter<const L extends Labels>(labels: L, help: string): CounterDefinition<L> {
  return { kind: 'counter', help, labels }
}

export function gauge<const L extends Labels>(labels: L, help: string): GaugeDefinition<L> {
  return { kind: 'gauge', help, labels }
}
