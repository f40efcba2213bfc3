import type { Command } from 'commander'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { addReceiptsWait, receiptsWait, sayReceipts, type WaitOptions } from '../options/receipts.ts'
import {
  type EntryView,
  entryTable,
  entryView,
  type InvariantView,
  invariantTable,
  invariantView,
  LOST_POLICY,
  type RevocationView,
  type RuleView,
  revocationTable,
  revocationView,
  ruleTable,
  ruleView
} from '../output/index.ts'
import { addPolicyApply, addPolicyDiff } from './policy-apply.ts'
import { addPolicyCheck, addPolicyExport } from './policy-file.ts'
import { addPolicyReceipts } from './policy-receipts.ts'
import { addPolicySuggest } from './policy-suggest.ts'
import { addPolicyTest } from './policy-test.ts'
import { addPolicyUnused } from './policy-unused.ts'

interface PolicyView {
  readonly version: bigint
  readonly issuedAtMs: bigint
  readonly admin: boolean
  readonly adminName: string
  readonly lost: boolean
  readonly rules: readonly RuleView[]
  readonly strict: boolean
  readonly entries: readonly EntryView[]
  readonly revocations: readonly RevocationView[]
  readonly invariants: readonly InvariantView[]
}

const POLICY: List<PolicyView> = {
  load: async (agent, options) => {
    const { version, issuedAtMs, admin, adminName, strict, lost, ...found } = await agent.admin.getPolicy({}, options)
    const rules = found.rules.map(ruleView)
    const entries = found.entries.map(entryView)
    const revocations = found.revocations.map(revocationView)
    const invariants = found.invariants.map(invariantView)
    return { version, issuedAtMs, admin, adminName, lost, rules, strict, entries, revocations, invariants }
  },
  text: ({ rules, entries, revocations, invariants }) => {
    const now = Date.now()
    const more = [
      ...(entries.length === 0 ? [] : [entryTable(entries)]),
      ...(revocations.length === 0 ? [] : [revocationTable(revocations, now)]),
      ...(invariants.length === 0 ? [] : [invariantTable(invariants)])
    ]
    return [ruleTable(rules, now), ...more].join('\n\n')
  },
  notes: ({ version, admin, adminName, strict, lost, rules }) => {
    if (lost) return [`ALARM: ${LOST_POLICY}`]
    const here = whoSets(admin, adminName)
    const which =
      rules.length === 0 ? `no rules: only whitelists allow connections; ${here}` : `version ${version}; ${here}`
    return [...(strict ? ['strict: only an entry grants an address'] : []), which]
  }
}

export function addPolicy(program: Command): void {
  const policy = program.command('policy').description('show, test and change the policy, also as a file')
  asList(policy.command('show').description('list the rules, entries, revocations and invariants')).action(
    async (options: ListOptions, command: Command) => await showList(contextOf(command), POLICY, options)
  )
  const remove = policy
    .command('remove')
    .description('remove one rule')
    .argument('<rule>', 'its id, as `warren policy show` lists it')
  addReceiptsWait(remove).action(async (id: string, options: WaitOptions, command: Command) => {
    const context = contextOf(command)
    const wait = receiptsWait(context, options)
    const { version } = await context.agent.admin.removeRule({ id })
    const awaited = await wait(version)
    context.show({ id, version, ...awaited }, () => id)
    context.say(`rule ${id} is removed, as of policy version ${version}`)
    sayReceipts(context, version, awaited)
  })
  addPolicyExport(policy)
  addPolicyCheck(policy)
  addPolicyDiff(policy)
  addPolicyApply(policy)
  addPolicyReceipts(policy)
  addPolicyTest(policy)
  addPolicySuggest(policy)
  addPolicyUnused(policy)
  addRestart(policy)
}

function whoSets(isAdmin: boolean, name: string): string {
  if (!isAdmin) return 'the founding host sets it, or another admin: `warren admin list`'
  return name === '' || name === 'founder' ? 'this host sets it' : `this host changes it as ${name}`
}

const RESTART = `
For a host whose database and policy.bundle are both lost, where no other host has the policy: a backup, or one member that was admitted
before the loss, brings it back, and this does not. It forgets every rule, entry and revocation, and that entries were strict: every
host, key and workload that was evicted or revoked is trusted again until its certificate ends.`

function addRestart(policy: Command): void {
  policy
    .command('restart')
    .description('begin a new, empty policy in place of one that was lost everywhere')
    .option('--accept-lost-policy', 'yes: what the lost policy had evicted or revoked is trusted again')
    .addHelpText('after', RESTART)
    .action(async (options: { readonly acceptLostPolicy?: true }, command: Command) => {
      if (options.acceptLostPolicy !== true) {
        throw new WarrenError(
          ErrorCode.InvalidOption,
          'a new policy has no rule, no entry and no revocation: whoever was evicted or revoked is trusted again',
          {
            hint: 'Look first for a backup or a member that was admitted before the loss. If there is none: warren policy restart --accept-lost-policy.'
          }
        )
      }
      const { agent, show, say } = contextOf(command)
      const { version } = await agent.admin.restartPolicy({})
      show({ version }, () => String(version))
      say(`policy version ${version} is in force and empty: nothing is allowed, and entries are not strict`)
      say('EVERY host, key and workload that was evicted or revoked is trusted again until its certificate ends')
      say('put each one out anew, before the first rule: warren evict MACHINE --force; warren revoke WHAT')
    })
}
