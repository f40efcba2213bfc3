export { collect, type Observed } from './collect.ts'
export { countEvents } from './count-events.ts'
export { watchProcess } from './process-metrics.ts'
export { PromMetrics, type Sample } from './prom-metrics.ts'
