import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Consequences, PolicyService } from '../../cluster/index.ts'
import { ErrorCode, type Protocol, WarrenError } from '../../core/index.ts'
import type { RuleChange } from '../../events/index.ts'
import { type Address, matches } from '../../identity/index.ts'
import {
  type AdminKey,
  addRule,
  type Bundle,
  documentFrom,
  type Invariant,
  limitFields,
  type NewRule,
  planOf,
  ROOT_NAME,
  type Rule
} from '../../policy/index.ts'
import type { FlowInfo } from '../../proxy/index.ts'
import { type adminPb, apiPb } from '../../wire/index.ts'
import type { AdminHandlers } from '../index.ts'

export interface PolicyCodeDeps {
  readonly policy: PolicyService
  /** What would end on this host if this were the policy. */
  readonly preview: (bundle: Bundle) => Promise<Consequences<FlowInfo>>
  /** Every registration of all hosts that is known here. */
  readonly registered: () => readonly { readonly address: Address }[]
  readonly ruleUse: { readonly sinceMs: number; readonly lastMs: (rule: string) => number | undefined }
  readonly onRuleChange: (change: RuleChange, subject: string, uid: number) => void
  readonly nowMs: () => number
}

type Names = 'applyPolicy' | 'listRuleUse'

/** The handlers of admin.sock for a policy that is kept in a file. */
export function policyCodeHandlers(deps: PolicyCodeDeps): Pick<AdminHandlers, Names> {
  const { policy, ruleUse } = deps
  return {
    async applyPolicy({ document, prune, dryRun, withRules }, { uid }) {
      if (document === undefined) throw new WarrenError(ErrorCode.InvalidArgument, 'the document is missing')
      if (dryRun) return await previewDocument(deps, document, prune, { withRules })
      const { content, changes } = planOf(policy.own, documentFrom(document), { prune, nowMs: deps.nowMs() })
      if (Object.keys(content).length > 0) {
        await policy.change(content)
        const count = changes.filter(({ kind }) => kind !== 'kept' && kind !== 'ended').length
        deps.onRuleChange('apply', `${count} changes`, uid)
      }
      return { version: policy.ownVersion, changes: [...changes] }
    },

    async listRuleUse() {
      const addresses = deps.registered().map(({ address }) => address)
      const rules = statedRules(policy.bundle).map(rule => ({
        rule: ruleMessage(rule),
        sources: addresses.filter(address => matches(rule.source, address)).length,
        destinations: addresses.filter(address => matches(rule.destination, address)).length,
        lastUsedAtMs: BigInt(ruleUse.lastMs(rule.id) ?? 0)
      }))
      return { rules, sinceMs: BigInt(ruleUse.sinceMs) }
    }
  }
}

export interface PreviewOptions {
  /** @default the admin of this host */
  readonly author?: AdminKey | undefined
  /** Whether the answer has the rules that would be in force here. @default false */
  readonly withRules?: boolean
}

/** The answer to a dry run of a document. */
export async function previewDocument(
  { policy, preview, nowMs }: PolicyCodeDeps,
  document: adminPb.PolicyDocument,
  prune: boolean,
  { author, withRules = false }: PreviewOptions = {}
): Promise<MessageInitShape<typeof adminPb.ApplyPolicyResponseSchema>> {
  const { content, changes } = planOf(policy.sets.statedBy(author), documentFrom(document), { prune, nowMs: nowMs() })
  const isSame = Object.keys(content).length === 0
  const draft = isSame ? undefined : policy.draft(content, author)
  const consequences = draft === undefined ? {} : consequencesMessage(await preview(draft))
  const rules = withRules ? ((draft ?? policy.bundle)?.rules ?? []).map(ruleMessage) : []
  return { version: policy.ownVersion, changes: [...changes], consequences, rules }
}

/** The answer to a dry run of one rule. */
export async function previewRule(
  { policy, preview, nowMs }: PolicyCodeDeps,
  rule: NewRule,
  { author, withRules = false }: PreviewOptions = {}
): Promise<MessageInitShape<typeof adminPb.AddRuleResponseSchema>> {
  const { rules, added } = addRule(policy.sets.statedBy(author), rule, nowMs())
  const draft = policy.draft({ rules }, author)
  const consequences = consequencesMessage(await preview(draft))
  return {
    rule: ruleMessage(added),
    version: policy.ownVersion,
    consequences,
    rules: withRules ? draft.rules.map(ruleMessage) : []
  }
}

function consequencesMessage({
  flows,
  registrations
}: Consequences<FlowInfo>): MessageInitShape<typeof adminPb.ConsequencesSchema> {
  return {
    flows: flows.map(({ flow, reason }) => ({ flow: flowMessage(flow), reason })),
    registrations: registrations.map(({ name: address, registrationId, uid }) => ({ address, registrationId, uid }))
  }
}

/** A flow as the local API shows it. */
export function flowMessage(flow: FlowInfo): MessageInitShape<typeof adminPb.FlowSchema> {
  return {
    ...flow,
    protocol: protocolMessage(flow.protocol),
    bytesIn: BigInt(flow.bytesIn),
    bytesOut: BigInt(flow.bytesOut),
    datagramsIn: BigInt(flow.datagramsIn),
    datagramsOut: BigInt(flow.datagramsOut),
    dropped: BigInt(flow.dropped),
    openedAtMs: BigInt(flow.openedAtMs),
    cutAtMs: BigInt(flow.cutAtMs)
  }
}

/** The rules of a policy, without those that stand for its invariants. */
export function statedRules(bundle: Bundle | undefined): readonly Rule[] {
  return (bundle?.rules ?? []).filter(({ ofInvariant }) => ofInvariant !== true)
}

/** A rule as the local API shows it. */
export function ruleMessage(rule: Rule): MessageInitShape<typeof adminPb.RuleSchema> {
  return {
    id: rule.id,
    effect: rule.effect,
    source: rule.source.text,
    destination: rule.destination.text,
    protocols: rule.protocols.map(protocolMessage),
    notBeforeMs: BigInt(rule.notBeforeMs),
    untilMs: BigInt(rule.untilMs),
    reason: rule.reason,
    owner: rule.owner ?? '',
    by: rule.by ?? ROOT_NAME,
    createdAtMs: BigInt(rule.createdAtMs),
    ...limitFields(rule)
  }
}

/** An invariant as the local API shows it. */
export function invariantMessage(invariant: Invariant): MessageInitShape<typeof adminPb.InvariantSchema> {
  return {
    id: invariant.id,
    source: invariant.source.text,
    destination: invariant.destination.text,
    protocols: invariant.protocols.map(protocolMessage),
    reason: invariant.reason,
    owner: invariant.owner ?? '',
    by: invariant.by ?? ROOT_NAME,
    createdAtMs: BigInt(invariant.createdAtMs)
  }
}

function protocolMessage(protocol: Protocol): apiPb.Protocol {
  return protocol === 'udp' ? apiPb.Protocol.UDP : apiPb.Protocol.TCP
}
