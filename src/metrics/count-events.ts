import { labelValue, type Metrics } from '../core/index.ts'
import type { EventSource } from '../events/index.ts'

/** Counts the events that have a metric of their own. */
export function countEvents(metrics: Pick<Metrics, 'count'>, events: EventSource): void {
  events.on('registration-added', () => metrics.count('warren_registrations_total', {}))
  events.on('flow-audited', () => metrics.count('warren_flows_audited_total', {}))
  events.on('registration-ended', ({ reason }) =>
    metrics.count('warren_registrations_ended_total', { reason: labelValue(reason) })
  )
}
