import {
  LimitHits,
  type LimitName,
  type Logger,
  type Metrics,
  silentMetrics,
  systemClock
} from '../../src/core/index.ts'

/**
 * Metrics that keep which limits were reached, and say so in `log` as those of an agent do; and what was counted, by
 * `name{label="value",…}`.
 */
export function recordingMetrics(log?: Logger): {
  readonly metrics: Metrics
  readonly hits: LimitName[]
  readonly counts: ReadonlyMap<string, number>
} {
  const counts = new Map<string, number>()
  const count: Metrics['count'] = (name, labels, by = 1) => {
    const text = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    const key = `${name}{${text.join()}}`
    counts.set(key, (counts.get(key) ?? 0) + by)
  }
  const hits: LimitName[] = []
  const lines = log === undefined ? undefined : new LimitHits(log, systemClock)
  const hit: Metrics['hit'] = (limit, fields) => {
    hits.push(limit)
    lines?.note(limit, fields)
  }
  return { metrics: { ...silentMetrics, hit, count }, hits, counts }
}
