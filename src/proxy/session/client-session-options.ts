import type { Logger, Metrics } from '../../core/index.ts'
import type { Path } from '../carriers/index.ts'
import type { PacketPort } from '../datagram/packet/index.ts'
import type { Candidate, ProvenWorkload } from '../deps.ts'
import type { FastPathBudget, UpgradeThresholds } from '../fastpath/index.ts'
import type { FindBeside } from './beside.ts'
import type { Liveness } from './liveness.ts'

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
  /** The UDP side of the data port; undefined if datagrams must not use it. */
  readonly packets: PacketPort | undefined
  /** Places for fast-path connections of this agent. */
  readonly fastPath: FastPathBudget
  readonly upgradeThresholds: UpgradeThresholds
  readonly beside: FindBeside | undefined
  /** Called when the other agent does not answer, once for each such silence. */
  readonly onSilent: () => void
  readonly log: Logger
  readonly metrics?: Metrics | undefined
}
