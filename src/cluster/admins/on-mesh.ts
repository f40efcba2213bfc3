import type { KeyObject } from 'node:crypto'
import type { Clock, Logger, Metrics } from '../../core/index.ts'
import type { EventSink } from '../../events/index.ts'
import { type PeerKey, peerKeyOf } from '../../identity/index.ts'
import type { Mesh } from '../../mesh/index.ts'
import { owners, type RegistryState } from '../../registry/index.ts'
import type { Vault } from '../../state/index.ts'
import { POLICY_LEASE_CAPABILITY } from '../lease/index.ts'
import { AdminSets } from './admin-sets.ts'
import { SETS_LIMITS } from './messages.ts'
import { AdminStore } from './store.ts'

/** The parts of an agent that the sets of admins are made of. */
export interface AdminSetsParts {
  readonly membership: {
    readonly trustDomain: string
    readonly adminKey: KeyObject | undefined
    readonly trust: { readonly state: { readonly adminPublicKey: Uint8Array } }
  }
  readonly config: { readonly policyLeaseMs?: number }
  readonly events: EventSink
  readonly vault: Vault
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** The sets of all admins, exchanged over the mesh. */
export function adminSetsOn(
  mesh: Mesh,
  { membership, config, events, vault, clock, log, metrics }: AdminSetsParts,
  state: RegistryState,
  onChange: (reason: string) => void
): AdminSets {
  const { trustDomain, adminKey, trust } = membership
  const rootKey = peerKeyOf(trust.state.adminPublicKey)
  return new AdminSets({
    trustDomain,
    rootKey,
    isRoot: adminKey !== undefined,
    store: new AdminStore(vault, { rootKey, trustDomain }),
    transport: {
      publish: (bytes: Uint8Array) => mesh.publish('policy', bytes),
      request: (peer: PeerKey, bytes: Uint8Array, signal: AbortSignal) =>
        mesh.request(peer, '/warren/policy-sets/1', bytes, { signal, maxResponseBytes: SETS_LIMITS.maxResponseBytes })
    },
    onChange,
    clock,
    log,
    metrics,
    lease: {
      boundMs: config.policyLeaseMs,
      rootSigner: adminKey,
      isAsked: () => owners(state).some(({ capabilities }) => capabilities.includes(POLICY_LEASE_CAPABILITY)),
      events
    }
  })
}
