import type { Audit } from '../../audit/index.ts'
import type { Membership } from '../../ca/index.ts'
import type { AnnouncedHosts } from '../../cluster/index.ts'
import type { Clock, Logger } from '../../core/index.ts'
import type { EventBus, EventHistory } from '../../events/index.ts'
import type { PromMetrics } from '../../metrics/index.ts'
import type { ProxyDeps } from '../../proxy/index.ts'
import type { Restart } from '../../restart/index.ts'
import type { Store, Vault } from '../../state/index.ts'
import type { ClockKeeper, DescriptorWatch } from '../../upkeep/index.ts'
import type { ResolvedConfig } from '../config.ts'
import type { StartProgress } from '../start-progress.ts'

/** The basis of every part of an agent. */
export interface Base {
  readonly config: ResolvedConfig
  readonly listenDir: string
  readonly vault: Vault
  readonly store: Store
  readonly membership: Membership
  /** The hosts under which this one is announced. */
  readonly addresses: AnnouncedHosts
  readonly events: EventBus
  readonly history: EventHistory
  /** Undefined: the operator wants none. */
  readonly audit: Audit | undefined
  readonly tracer: ProxyDeps['tracer']
  readonly metrics: PromMetrics
  /** The time by which this host verifies, and issues what it keeps in memory alone: it never goes back. */
  readonly clock: Clock
  /** The clock of the host as it is: for leases, dates of files, and for certificates and keys that stay on disk. */
  readonly hostClock: Clock
  readonly clockKeeper: ClockKeeper
  readonly descriptors: DescriptorWatch
  /** Called with what the start of the agent waits for. */
  readonly onProgress: (progress: StartProgress) => void
  readonly restart: Restart | undefined
  readonly log: Logger
  /** Collects the resources to dispose, in the order of their start. */
  readonly resources: AsyncDisposableStack
  /** Aborts first of all when the agent stops. */
  readonly stopping: AbortSignal
}
