import type { AgentConfig } from '../config/index.ts'
import { type Clock, type Logger, type Metrics, packageVersion } from '../core/index.ts'
import type { FlowTracer } from '../proxy/index.ts'

export interface TraceDeps {
  readonly config: Pick<AgentConfig, 'otlp'>
  readonly membership: {
    readonly machine: string
    readonly trustDomain: string
    readonly credentials: { readonly node: { readonly peer: string } }
  }
  readonly hostClock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Collects what has to be closed. */
  readonly resources: AsyncDisposableStack
}

/** Begins to send traces, if the operator wants them. Throws INVALID_ARGUMENT or STATE_UNUSABLE if a named file cannot be used. */
export async function openTraces(deps: TraceDeps): Promise<FlowTracer | undefined> {
  const { config, membership, hostClock, log, metrics, resources } = deps
  if (config.otlp === undefined) return undefined
  const { startTracing } = await import('./start.ts')
  const { machine, trustDomain, credentials } = membership
  const host = { machine, trustDomain, peer: credentials.node.peer, version: packageVersion() }
  return startTracing({ target: config.otlp, host, clock: hostClock, log, metrics, resources })
}
