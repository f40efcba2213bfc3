import {
  type Address,
  addressOfSpiffeId,
  matches,
  type Pattern,
  type PeerKey,
  parsePattern
} from '../identity/index.ts'
import type { Protocol } from '../policy/index.ts'
import { type LiveRecord, liveRecords, type RegistryState } from '../registry/index.ts'

/** One registration anywhere in the mesh, with what routing needs to know of its host. */
export interface Route {
  readonly registrationId: string
  readonly address: Address
  readonly spiffeId: string
  readonly serves: readonly Protocol[]
  readonly whitelist: readonly Pattern[]
  readonly machine: string
  readonly peer: PeerKey
  readonly dataAddresses: readonly string[]
  readonly health: 'passing' | 'failing' | 'draining'
  readonly local: boolean
  readonly suspect: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly registeredAtMs: number
}
