import type { KeyObject } from 'node:crypto'
import type { Clock, Logger, Metrics } from '../core/index.ts'
import type { EventSink, EventSource } from '../events/index.ts'
import type { PeerKey } from '../identity/index.ts'
import { owners, type RegistryState } from '../registry/index.ts'
import type { FailureService } from './failure/index.ts'
import type { LostHosts } from './lost-hosts.ts'
import { Observations } from './observations/index.ts'
import type { PolicyService } from './policy-service.ts'
import { type MeshQuestionsDeps, type Questions, questionsOnMesh } from './questions/index.ts'
import { AppliedPolicies, Receipts } from './receipts/index.ts'

export interface InquiriesDeps {
  readonly trustDomain: string
  /** Raw public key of the admin: who asks signs with it. */
  readonly adminPublicKey: Uint8Array
  readonly membership: { readonly peerKey: KeyObject; readonly adminKey: KeyObject | undefined }
  readonly mesh: MeshQuestionsDeps['mesh']
  readonly registry: { readonly state: RegistryState; readonly changed: () => Promise<void> }
  readonly lost: Pick<LostHosts, 'all'>
  readonly failures: Pick<FailureService, 'suspectedSinceMs'>
  readonly policy: Pick<PolicyService, 'bundle' | 'pull'>
  readonly events: EventSource & EventSink
  readonly clock: Clock
  readonly metrics: Metrics
  readonly log: Logger
  /** Aborts when the agent stops. */
  readonly stopping: AbortSignal
}

/** What this host asks all others, and answers others. */
export interface Inquiries {
  readonly receipts: Receipts
  readonly observations: Observations
}

/** Questions over the mesh. Call it before the mesh starts. */
export function inquiriesOnMesh(deps: InquiriesDeps): Inquiries {
  const { trustDomain, adminPublicKey, membership, mesh, registry, policy, events, clock, metrics, log } = deps
  const { state } = registry
  const bundle = () => policy.bundle
  const applied = new AppliedPolicies({ bundle, clock })
  events.on('policy-refused', ({ version, reason }) => applied.refused(version, reason))
  const shared = {
    trustDomain,
    questions: () => questions,
    owners: () => owners(state),
    suspectedSinceMs: (peer: PeerKey) => deps.failures.suspectedSinceMs(peer),
    registryChanged: () => registry.changed(),
    clock,
    log
  }
  const pull = (peer: PeerKey): void => policy.pull(peer)
  const receipts = new Receipts({ ...shared, applied, bundle, pull, lost: () => deps.lost.all() })
  const observations = new Observations({ ...shared, self: mesh.peer, events })
  const questions: Questions = questionsOnMesh({
    ...membership,
    mesh,
    state,
    mayObserve: signer => Buffer.compare(signer, adminPublicKey) === 0,
    answerers: { receipt: receipts.answer, observation: observations.answer },
    monotonicMs: clock.monotonicMs,
    metrics,
    log,
    signal: deps.stopping
  })
  return { receipts, observations }
}
