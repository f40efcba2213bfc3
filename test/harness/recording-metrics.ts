import {
  LimitHits,
  type LimitName,
  type Logger,
  type Metrics,
  silentMetrics,
  systemClock
} from '../../src/core/index.ts'

/** Metrics that keep which limits were reached, and say so in `log` as those of an agent do. */
export function recordingMetrics(log?: Logger): { readonly metrics: Metrics; readonly hits: LimitName[] } {
  const hits: LimitName[] = []
  const lines = log === undefined ? undefined : new LimitHits(log, systemClock)
  const hit: Metrics['hit'] = (limit, fields) => {
    hits.push(limit)
    lines?.note(limit, fields)
  }
  return { metrics: { ...silentMetrics, hit }, hits }
}
