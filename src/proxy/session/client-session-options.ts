import type { Logger, Metrics } from '../../core/index.ts'
import type { Path } from '../carriers/index.ts'
import type { Candidate, ProvenWorkload } from '../deps.ts'
import type { FastPathBudget, UpgradeThresholds } from '../fastpath/index.ts'
import type { FindBeside } from './beside.ts'
import type { Liveness } from './liveness.ts'
import type { PacketParts } from './packet-path.ts'

export interface ClientSessionOptions {
  readonly sourceId: string
  readonly destination: Candidate
  readonly path: Path
  /** The certificate it was opened with; a renewed one needs a new session. */
  readonly certPem: string
  /** The identity that the destination's certificate proved. */
  readonly proven: ProvenWorkload
  /** Returns the wall clock: certificates have dates. */
  readonly wallMs: () => number
  readonly nowMs: () => number
  readonly liveness: Liveness
  /** Undefined if datagrams must not leave the session. */
  readonly packets: PacketParts | undefined
  /** Places for fast-path connections of this agent. */
  readonly fastPath: FastPathBudget
  readonly upgradeThresholds: UpgradeThresholds
  readonly beside: FindBeside | undefined
  /** Called when the other agent does not answer, once for each such silence. */
  readonly onSilent: () => void
  readonly log: Logger
  readonly metrics?: Metrics | undefined
}
