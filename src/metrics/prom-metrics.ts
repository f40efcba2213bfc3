import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import {
  type Clock,
  type CounterName,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
  LimitHits,
  type LimitName,
  type LogFields,
  type Logger,
  METRICS,
  type MetricName,
  type Metrics,
  OTHER
} from '../core/index.ts'

type Values = Readonly<Record<string, string>>

interface Series {
  readonly labels: Values
  value: number
}

/** The series of a metric by the value of its first label, of its second one, and so on. */
type Tree = Series | Map<string, Tree>

interface Plain {
  readonly metric: Counter | Gauge
  readonly labels: readonly string[]
  readonly series: readonly Series[]
  readonly tree: Tree
}

/** One line of the text format. */
export interface Sample {
  readonly name: string
  readonly labels: Values
  readonly value: number
}

/** The text format of Prometheus, or its successor, which `GET` with an `Accept` header may ask for. */
export type TextFormat = 'prometheus' | 'openmetrics'

/** Reads existing state each time that the metrics are read. */
export type Collector = (into: PromMetrics) => void

/**
 * The metrics of this agent, for Prometheus.
 *
 * It counts on its own and passes the sums to prom-client when the metrics are read: an event costs a tenth of its cost there.
 */
export class PromMetrics implements Metrics {
  readonly #registry = new Registry()
  // A registry has one format, and two readers may read at once.
  readonly #openMetrics = openMetricsRegistry()
  readonly #plain = new Map<MetricName, Plain>()
  readonly #histograms = new Map<MetricName, Histogram>()
  readonly #collectors: Collector[] = []
  readonly #hits: LimitHits

  constructor(log: Logger, clock: Clock) {
    this.#hits = new LimitHits(log, clock)
    for (const name of Object.keys(METRICS) as MetricName[]) this.#define(name)
  }

  /** Registers `collector`, which is called whenever the metrics are read. */
  onRead(collector: Collector): void {
    this.#collectors.push(collector)
  }

  readonly count = <N extends CounterName>(name: N, labels: LabelsOf<N>, by = 1): void => {
    this.#of(name, labels as Values).value += by
  }

  readonly set = <N extends GaugeName>(name: N, labels: LabelsOf<N>, value: number): void => {
    this.#of(name, labels as Values).value = value
  }

  readonly observe = <N extends HistogramName>(name: N, labels: LabelsOf<N>, value: number): void => {
    this.#histograms.get(name)?.observe(bounded(name, labels as Values), value)
  }

  readonly hit = (limit: LimitName, fields?: LogFields): void => {
    this.count('warren_limit_hits_total', { limit })
    this.#hits.note(limit, fields)
  }

  /** Sets a counter to a sum from elsewhere. For collectors. */
  total<N extends CounterName>(name: N, labels: LabelsOf<N>, value: number): void {
    this.#of(name, labels as Values).value = value
  }

  /** Everything, as text. @default the format of Prometheus */
  async text(format: TextFormat = 'prometheus'): Promise<string> {
    this.#read()
    return await (format === 'openmetrics' ? this.#openMetrics : this.#registry).metrics()
  }

  /** The same, as data. */
  async samples(): Promise<Sample[]> {
    this.#read()
    const found = await this.#registry.getMetricsAsJSON()
    return found.flatMap(({ name, values }) =>
      values.map(sample => ({
        name: 'metricName' in sample && typeof sample.metricName === 'string' ? sample.metricName : name,
        labels: Object.fromEntries(Object.entries(sample.labels).map(([label, value]) => [label, String(value)])),
        value: sample.value
      }))
    )
  }

  #define(name: MetricName): void {
    const { help, labels, ...definition } = METRICS[name]
    const config = { name, help, labelNames: Object.keys(labels), registers: [this.#registry, this.#openMetrics] }
    if (definition.kind === 'histogram') {
      this.#histograms.set(name, new Histogram({ ...config, buckets: [...definition.buckets] }))
      return
    }
    const metric = definition.kind === 'counter' ? new Counter(config) : new Gauge(config)
    // All of them from the start, so that a rate sees the first event too, and nothing can add to them.
    const series = combinations(labels).map(one => ({ labels: one, value: 0 }))
    const names = Object.keys(labels)
    this.#plain.set(name, { metric, labels: names, series, tree: treeOf(series, names) })
  }

  #of(name: MetricName, labels: Values): Series {
    const plain = this.#plain.get(name)
    const found = plain && (find(plain, labels) ?? find(plain, bounded(name, labels)))
    // The label has no `other`: only a caller that the compiler did not check gets here.
    return found ?? { labels, value: 0 }
  }

  #read(): void {
    for (const collect of this.#collectors) collect(this)
    for (const { metric, series } of this.#plain.values()) {
      metric.reset()
      for (const { labels, value } of series) metric.inc(labels, value)
    }
  }
}

function openMetricsRegistry() {
  const registry = new Registry<typeof Registry.OPENMETRICS_CONTENT_TYPE>()
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  return registry
}

// A connection counts some events. One text for all values would be made and hashed for each of them.
function find({ tree, labels: names }: Plain, labels: Values): Series | undefined {
  let found: Tree | undefined = tree
  for (const name of names) found = found instanceof Map ? found.get(labels[name] ?? '') : undefined
  return found instanceof Map ? undefined : found
}

function treeOf(series: readonly Series[], names: readonly string[]): Tree {
  const [name, ...others] = names
  const [first = { labels: {}, value: 0 }] = series
  if (name === undefined) return first
  const parts = Map.groupBy(series, ({ labels }) => labels[name] ?? '')
  return new Map([...parts].map(([value, part]) => [value, treeOf(part, others)]))
}

// A value that is not defined must not make a series of its own: their number would have no bound.
function bounded(name: MetricName, labels: Values): Values {
  const defined: Readonly<Record<string, readonly string[]>> = METRICS[name].labels
  return Object.fromEntries(
    Object.entries(defined).map(([label, values]) => {
      const value = labels[label] ?? OTHER
      return [label, values.includes(value) ? value : OTHER]
    })
  )
}

function combinations(labels: Readonly<Record<string, readonly string[]>>): Values[] {
  let all: Values[] = [{}]
  for (const [label, values] of Object.entries(labels)) {
    all = all.flatMap(one => values.map(value => ({ ...one, [label]: value })))
  }
  return all
}
