import type { KeyObject } from 'node:crypto'
import type { Clock, Logger, Metrics } from '../core/index.ts'
import type { EventSink, EventSource } from '../events/index.ts'
import { CONTEXT, type PeerKey, rawKeyOf, sign } from '../identity/index.ts'
import { countedSets, grantingSets } from '../policy/index.ts'
import { owners, type RegistryState } from '../registry/index.ts'
import { mayAsk, requireMayAsk } from './asking-rights.ts'
import type { FailureService } from './failure/index.ts'
import type { LostHosts } from './lost-hosts.ts'
import { LONG_ASK_LIMITS, LongAsks, Observations } from './observations/index.ts'
import { asksAboutOwn } from './own-questions.ts'
import type { PolicyService } from './policy-service.ts'
import { type MeshQuestionsDeps, type QuestionSignature, type Questions, questionsOnMesh } from './questions/index.ts'
import { AppliedPolicies, Receipts } from './receipts/index.ts'
import type { AskedSet } from './receipts/receipt.ts'

const LONG_ASK = '/warren/long-ask/1'

export interface InquiriesDeps {
  readonly trustDomain: string
  readonly membership: { readonly peerKey: KeyObject; readonly adminKey: KeyObject | undefined }
  readonly mesh: MeshQuestionsDeps['mesh']
  readonly registry: { readonly state: RegistryState; readonly changed: () => Promise<void> }
  readonly lost: Pick<LostHosts, 'all'>
  readonly failures: Pick<FailureService, 'suspectedSinceMs'>
  readonly policy: Pick<PolicyService, 'pull' | 'sets'>
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
  const { trustDomain, membership, mesh, registry, policy, events, clock, metrics, log } = deps
  const { state } = registry
  const { sets } = policy
  const { rootKey } = sets
  const applied = new AppliedPolicies({ rootKey, sets: () => countedSets(sets.inForce), clock })
  events.on('policy-refused', ({ version, reason }) => applied.refused(version, reason))
  const own = (): AskedSet | undefined => {
    requireMayAsk(sets.inForce, sets.ownKey, 'receipt')
    const { ownKey: key, own: set } = sets
    if (key === undefined || set === undefined) return undefined
    return { key, version: set.version, sha256: set.sha256, grantedBy: grantingSets(sets.inForce, key) }
  }
  const shared = {
    trustDomain,
    questions: () => questions,
    owners: () => owners(state),
    suspectedSinceMs: (peer: PeerKey) => deps.failures.suspectedSinceMs(peer),
    registryChanged: () => registry.changed(),
    clock,
    log
  }
  const pull = (peer: PeerKey): void => {
    policy.pull(peer)
    sets.exchange.pull(peer)
  }
  const lost = () => deps.lost.all()
  const receipts = new Receipts({ ...shared, applied, rootKey, own, digest: () => sets.digest, pull, lost })
  const observations = new Observations({
    ...shared,
    longAsks: longAsksOn(mesh, state, clock),
    self: mesh.peer,
    events
  })
  const questions: Questions = questionsOnMesh({
    peerKey: membership.peerKey,
    signed: bytes => signedByAdmin(sets, membership.adminKey, bytes),
    mesh,
    state,
    mayAsk: question =>
      question.signer === question.requester ? asksAboutOwn(state, question) : mayAsk(sets.inForce, rootKey, question),
    signerOf: question => {
      try {
        requireMayAsk(sets.inForce, sets.ownKey, question.kind)
      } catch (err) {
        if (asksAboutOwn(state, { ...question, requester: mesh.peer })) return 'host'
        throw err
      }
      if (sets.elsewhere !== undefined) sets.signing.requireOffer(sets.elsewhere)
      return 'admin'
    },
    answerers: { receipt: receipts.answer, observation: observations.answer },
    monotonicMs: clock.monotonicMs,
    metrics,
    log,
    signal: deps.stopping
  })
  return { receipts, observations }
}

function signedByAdmin(
  sets: PolicyService['sets'],
  rootKey: KeyObject | undefined,
  bytes: Uint8Array
): QuestionSignature | Promise<QuestionSignature> {
  const signer = rawKeyOf(sets.ownKey ?? sets.rootKey)
  const made = rootKey === undefined ? sets.sign(CONTEXT.question, bytes) : sign(rootKey, CONTEXT.question, bytes)
  return made instanceof Promise ? made.then(signature => ({ signer, signature })) : { signer, signature: made }
}

function longAsksOn(mesh: MeshQuestionsDeps['mesh'], state: RegistryState, clock: Clock): LongAsks {
  const { maxResponseBytes } = LONG_ASK_LIMITS
  const longAsks = new LongAsks({
    isMember: peer => state.entries.has(peer),
    request: (peer, sha256, signal) => mesh.request(peer, LONG_ASK, sha256, { signal, maxResponseBytes }),
    clock
  })
  mesh.handle(LONG_ASK, (from, sha256, signal) => longAsks.serve(from, sha256, signal), LONG_ASK_LIMITS)
  return longAsks
}
