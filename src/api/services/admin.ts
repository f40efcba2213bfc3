import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Authorities, RootRotation, RootStatus } from '../../ca/index.ts'
import type { Inquiries, LostHosts } from '../../cluster/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { EventHistory } from '../../events/index.ts'
import { parseMachineName } from '../../identity/index.ts'
import { ruleFrom } from '../../policy/index.ts'
import type { FlowInfo } from '../../proxy/index.ts'
import type { Restart } from '../../restart/index.ts'
import { type adminPb, apiPb } from '../../wire/index.ts'
import type { Explainer } from '../explain/here.ts'
import { reachMessage } from '../explain/reach-message.ts'
import type { AdminHandlers } from '../index.ts'
import { adminsHandlers } from './admins.ts'
import { eventHandlers } from './events.ts'
import { type JoinHandlersDeps, joinHandlers } from './joins.ts'
import { type ObservationHandlersDeps, observationHandlers } from './observations.ts'
import { entryMessage, type PolicyHandlersDeps, policyHandlers, revocationMessage } from './policy.ts'
import {
  flowMessage,
  invariantMessage,
  type PolicyCodeDeps,
  policyCodeHandlers,
  previewRule,
  ruleMessage,
  statedRules
} from './policy-code.ts'
import { type ReceiptHandlersDeps, receiptHandlers } from './receipts.ts'
import { askingForSignatures } from './signing.ts'
import { upgradeHandlers } from './upgrade.ts'
import { lostMemberView } from './views.ts'

export interface AdminHandlersDeps extends PolicyHandlersDeps, PolicyCodeDeps, JoinHandlersDeps, ReceiptHandlersDeps {
  readonly registered: ObservationHandlersDeps['registered']
  readonly problemOf: ObservationHandlersDeps['problemOf']
  readonly audit?: ObservationHandlersDeps['audit']
  readonly inquiries: Inquiries
  /** Resolves when the flows to workloads of this host have ended. */
  readonly drain: (timeoutMs: number) => Promise<{ finished: number; reset: number; undone: boolean }>
  readonly undrain: () => void
  /** Takes the time of this host's clock as it is, also if that is back. */
  readonly acceptClock: () => void
  /** Reads the files of the configuration anew. */
  readonly reload: () => Promise<{
    readonly services: MessageInitShape<typeof adminPb.ReloadTallySchema>
    readonly forwards: MessageInitShape<typeof adminPb.ReloadTallySchema>
    readonly needRestart: readonly string[]
  }>
  /** Undefined: the process cannot be replaced. */
  readonly restart: Pick<Restart, 'begin' | 'outcome'> | undefined
  readonly authorities: Pick<Authorities, 'add' | 'remove' | 'list'>
  readonly rootRotation: Pick<RootRotation, 'status' | 'begin' | 'finish'>
  /** A sealed copy of the whole state of this host. */
  readonly backup: (passphrase: string) => Promise<Uint8Array>
  readonly members: () => MessageInitShape<typeof adminPb.MemberSchema>[]
  readonly lost: Pick<LostHosts, 'all' | 'forget'>
  readonly flows: () => readonly FlowInfo[]
  readonly history: Pick<EventHistory, 'recent' | 'follow'>
  readonly metrics: () => Promise<MessageInitShape<typeof adminPb.GetMetricsResponseSchema>>
  readonly explainer: Explainer
}

const DRAIN_MS = 30_000

/** The handlers of admin.sock. */
export function adminHandlers(deps: AdminHandlersDeps): AdminHandlers {
  const { policy, backup, drain, undrain, members, flows, metrics, explainer } = deps
  return askingForSignatures(policy.sets.signing, {
    ...policyHandlers(deps),
    ...policyCodeHandlers(deps),
    ...receiptHandlers(deps),
    ...observationHandlers(deps),
    ...eventHandlers(deps.history),
    ...joinHandlers(deps),
    ...adminsHandlers(deps),
    ...upgradeHandlers(deps.restart),

    async drain({ undo, timeoutMs }) {
      if (!undo) return await drain(timeoutMs === 0 ? DRAIN_MS : timeoutMs)
      undrain()
      return {}
    },

    async acceptClock(_request, { uid }) {
      deps.acceptClock()
      deps.onRuleChange('accept-clock', new Date(deps.nowMs()).toISOString(), uid)
      return { nowMs: BigInt(deps.nowMs()) }
    },

    async reload() {
      const { services, forwards, needRestart } = await deps.reload()
      return { services, forwards, needRestart: [...needRestart] }
    },

    async listAuthorities(_request, _caller, signal) {
      const all = await deps.authorities.list(signal)
      return {
        authorities: all.map(({ machine, state, notAfterMs, hasRootKey, problem }) => ({
          machine,
          state,
          notAfterMs: BigInt(notAfterMs ?? 0),
          rootKey: hasRootKey,
          problem
        }))
      }
    },

    async addAuthority({ machine }, { uid }, signal) {
      const notAfterMs = await deps.authorities.add(parseMachineName(machine), signal)
      deps.onRuleChange('add-authority', machine, uid)
      return { notAfterMs: BigInt(notAfterMs) }
    },

    async removeAuthority({ machine }, { uid }, signal) {
      await deps.authorities.remove(parseMachineName(machine), signal)
      deps.onRuleChange('remove-authority', machine, uid)
      return {}
    },

    getRoot: async () => ({ status: rootMessage(deps.rootRotation.status()) }),

    async rotateRoot({ finish, force }, { uid }) {
      const status = finish ? deps.rootRotation.finish(force) : await deps.rootRotation.begin()
      deps.onRuleChange('rotate-root', finish ? 'finished' : 'begun', uid)
      return { status: rootMessage(status) }
    },

    getMetrics: () => metrics(),

    backup: async ({ passphrase }) => ({ sealed: await backup(passphrase) }),

    listMembers: async () => ({ members: members(), lost: deps.lost.all().map(lostMemberView) }),

    async forgetMember({ machine }) {
      const forgotten = deps.lost.forget(parseMachineName(machine))
      if (forgotten !== undefined) return { member: lostMemberView(forgotten) }
      const isMember = members().some(member => member.machine === machine)
      throw isMember
        ? new WarrenError(ErrorCode.InvalidArgument, `${machine} is a member`, {
            hint: `\`warren evict ${machine}\` removes a member for good.`
          })
        : new WarrenError(ErrorCode.NotFound, `no lost host named ${machine} is remembered here`)
    },

    listFlows: async () => ({
      flows: flows().map(flowMessage)
    }),

    getPolicy: async () => ({
      version: policy.version,
      rules: statedRules(policy.bundle).map(ruleMessage),
      issuedAtMs: BigInt(policy.bundle?.issuedAtMs ?? 0),
      admin: policy.isAdmin,
      lost: policy.isLost,
      entries: (policy.bundle?.entries ?? []).map(entryMessage),
      strict: policy.bundle?.strict ?? false,
      revocations: (policy.bundle?.revocations ?? []).map(revocationMessage),
      invariants: (policy.bundle?.invariants ?? []).map(invariantMessage),
      adminName: policy.sets.ownName,
      sets: policy.sets.digest
    }),

    async addRule(request, { uid }) {
      const { rule, dryRun, withRules } = request
      if (rule === undefined) throw new WarrenError(ErrorCode.InvalidArgument, 'the rule is missing')
      const wanted = ruleFrom(rule)
      if (dryRun) return await previewRule(deps, wanted, { withRules })
      const added = await policy.add(wanted)
      deps.onRuleChange(wanted.effect, `${rule.source} -> ${rule.destination}`, uid)
      return { rule: ruleMessage(added), version: policy.ownVersion }
    },

    async removeRule(request, { uid }) {
      await policy.remove(request.id)
      deps.onRuleChange('remove-rule', request.id, uid)
      return { version: policy.ownVersion }
    },

    async explain(request, _caller, signal) {
      const protocol = request.protocol === apiPb.Protocol.UDP ? 'udp' : 'tcp'
      const { source, destination, uid } = request
      const { steps, ...verdict } = await explainer.explain({ source, destination, protocol, uid }, signal)
      return { ...verdict, steps: [...steps] }
    },

    async listReach({ source, destination }, _caller, signal) {
      return reachMessage(await explainer.reach(source, destination, signal))
    }
  })
}

function rootMessage({ version, roots, behind }: RootStatus): MessageInitShape<typeof adminPb.RootStatusSchema> {
  return {
    version,
    roots: roots.map(({ sha256, notAfterMs, isHere }) => ({ sha256, notAfterMs: BigInt(notAfterMs), keyHere: isHere })),
    behind: behind.map(({ machine, reason }) => ({ machine, reason }))
  }
}
