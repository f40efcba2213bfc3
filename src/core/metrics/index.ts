export {
  type CounterDefinition,
  type GaugeDefinition,
  type HistogramDefinition,
  type Labels,
  METRICS,
  type MetricDefinition,
  OTHER
} from './definitions.ts'
export { type LabelValue, labelValue } from './label-value.ts'
export { LimitHits } from './limit-hits.ts'
export { LIMIT_NAMES, type LimitName } from './limit-names.ts'
export {
  type CounterName,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
  type MetricName,
  type Metrics,
  silentMetrics
} from './metrics.ts'
