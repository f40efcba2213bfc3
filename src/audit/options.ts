import type { Clock, Logger, Metrics } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'

/** What an audit log needs of its agent. */
export interface AuditLogOptions {
  readonly path: string
  /** The most that all files may have, in bytes. */
  readonly maxBytes: number
  readonly host: { readonly machine: string; readonly trustDomain: string; readonly peer: PeerKey }
  /** Version of this program. */
  readonly version: string
  /** Signs with the key of the host, in the context of audit logs. */
  readonly sign: (bytes: Uint8Array) => Uint8Array
  /** Called when `checkpoint` has changed: ten seconds after it did before, or later. */
  readonly onCheckpoint: () => void
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}
