import type { KeyObject } from 'node:crypto'
import type { Clock, Logger, Metrics } from '../../core/index.ts'
import type { EventSource } from '../../events/index.ts'
import { owners, type RegistryState } from '../../registry/index.ts'
import type { FailureService } from '../failure/index.ts'
import type { LostHosts } from '../lost-hosts.ts'
import type { PolicyService } from '../policy-service.ts'
import { type MeshQuestionsDeps, questionsOnMesh } from '../questions/index.ts'
import { AppliedPolicies } from './applied-policies.ts'
import { Receipts } from './receipts.ts'

export interface MeshReceiptsDeps {
  readonly trustDomain: string
  /** Raw public key of the admin: who asks signs with it. */
  readonly adminPublicKey: Uint8Array
  readonly membership: { readonly peerKey: KeyObject; readonly adminKey: KeyObject | undefined }
  readonly mesh: MeshQuestionsDeps['mesh']
  readonly registry: { readonly state: RegistryState; readonly changed: () => Promise<void> }
  readonly lost: Pick<LostHosts, 'all'>
  readonly failures: Pick<FailureService, 'suspectedSinceMs'>
  readonly policy: Pick<PolicyService, 'bundle' | 'pull'>
  readonly events: EventSource
  readonly clock: Clock
  readonly metrics: Metrics
  readonly log: Logger
  /** Aborts when the agent stops. */
  readonly stopping: AbortSignal
}

/** Receipts over the mesh. Call it before the mesh starts. */
export function receiptsOnMesh(deps: MeshReceiptsDeps): Receipts {
  const { trustDomain, adminPublicKey, membership, mesh, registry, policy, clock, metrics, log } = deps
  const { state } = registry
  const bundle = () => policy.bundle
  const applied = new AppliedPolicies({ bundle, clock })
  deps.events.on('policy-refused', ({ version, reason }) => applied.refused(version, reason))
  const receipts: Receipts = new Receipts({
    trustDomain,
    applied,
    bundle,
    pull: peer => policy.pull(peer),
    questions: () => questions,
    owners: () => owners(state),
    lost: () => deps.lost.all(),
    suspectedSinceMs: peer => deps.failures.suspectedSinceMs(peer),
    registryChanged: () => registry.changed(),
    clock,
    log
  })
  const questions = questionsOnMesh({
    ...membership,
    mesh,
    state,
    mayObserve: signer => Buffer.compare(signer, adminPublicKey) === 0,
    answerers: { receipt: receipts.answer },
    monotonicMs: clock.monotonicMs,
    metrics,
    log,
    signal: deps.stopping
  })
  return receipts
}
