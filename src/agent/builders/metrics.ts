import { ScrapeServer } from '../../metrics/index.ts'
import type { Base } from './base.ts'

/** Serves the metrics over HTTP, if the operator wants it, until the resources of the agent are closed. */
export async function serveMetrics(
  { config, metrics, clock, log, resources }: Base,
  state: () => string
): Promise<void> {
  const { metricsListen } = config
  if (metricsListen === undefined) return
  const scrapes = new ScrapeServer({
    listen: metricsListen,
    text: format => metrics.text(format),
    state,
    nowMs: () => clock.monotonicMs(),
    log
  })
  const address = await scrapes.start()
  resources.defer(() => scrapes.stop())
  log.info('metrics served', { address })
}
