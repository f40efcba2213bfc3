import type { PeerKey } from '../../identity/index.ts'

/** Who pushes: a receiver gets it beside each line. */
export interface PushingHost {
  readonly machine: string
  readonly trustDomain: string
  readonly peer: PeerKey
  /** Version of this program. */
  readonly version: string
}
