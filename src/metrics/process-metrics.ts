import { monitorEventLoopDelay } from 'node:perf_hooks'
import { type Clock, stderrLines } from '../core/index.ts'
import { openFiles, readResources } from '../upkeep/index.ts'
import type { PromMetrics } from './prom-metrics.ts'

/** Interval of the looks at the event loop, in milliseconds. Ten looks a second were half of all wake-ups of an idle agent. */
const RESOLUTION_MS = 250
/** Window of the figures, in milliseconds: values older than one to two windows do not count. */
const WINDOW_MS = 60_000

/** Memory, processor, event loop and log of this process. Measures from the call on, until the function returned is called. */
export function watchProcess(metrics: PromMetrics, clock: Clock): () => void {
  const startedMs = clock.wallMs() - process.uptime() * 1_000
  const { maxOpenFiles } = readResources()
  let recent = startedAt(clock.monotonicMs())
  let before = recent

  metrics.onRead(() => {
    const now = clock.monotonicMs()
    if (now - recent.sinceMs >= WINDOW_MS) {
      before.histogram.disable()
      before = recent
      recent = startedAt(now)
    }
    const { user, system } = process.cpuUsage()
    const { rss, heapUsed, external } = process.memoryUsage()
    const { dropped } = stderrLines()
    metrics.total('warren_log_lines_dropped_total', {}, dropped)
    metrics.total('warren_limit_hits_total', { limit: 'log_backlog' }, dropped)
    metrics.total('warren_process_cpu_seconds_total', {}, (user + system) / 1_000_000)
    metrics.set('warren_process_resident_memory_bytes', {}, rss)
    metrics.set('warren_process_open_fds', {}, openFiles())
    metrics.set('warren_process_max_fds', {}, maxOpenFiles ?? 0)
    metrics.set('warren_process_start_time_seconds', {}, startedMs / 1_000)
    metrics.set('warren_nodejs_heap_size_used_bytes', {}, heapUsed)
    metrics.set('warren_nodejs_external_memory_bytes', {}, external)
    // The figures of the older window, which continues: two readers must not take each other's figures.
    const { histogram } = before
    metrics.set('warren_nodejs_eventloop_lag_p99_seconds', {}, lateSeconds(histogram.percentile(99)))
    metrics.set('warren_nodejs_eventloop_lag_max_seconds', {}, lateSeconds(histogram.max))
  })
  return () => {
    recent.histogram.disable()
    before.histogram.disable()
  }
}

function startedAt(sinceMs: number) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  return { sinceMs, histogram }
}

// It measures from one look to the next, and its value before the first is meaningless.
function lateSeconds(ns: number): number {
  const ms = ns / 1_000_000 - RESOLUTION_MS
  return Number.isFinite(ms) && ms > 0 && ms < 3_600_000 ? ms / 1_000 : 0
}
