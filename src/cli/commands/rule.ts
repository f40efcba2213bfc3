import type { Command } from 'commander'
import { apiPb } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { parseUntil } from '../options/index.ts'
import { addReceiptsWait, isOnMesh, receiptsWait, sayReceipts, type WaitOptions } from '../options/receipts.ts'
import { addUsageLimits, type UsageLimitOptions, usageLimitFields } from '../options/usage-limits.ts'
import { consequencesSummary, consequencesText, consequencesView, ruleView } from '../output/index.ts'
import { previewOnMesh } from './observe.ts'
import { addReplay, isReplayed, pastText, type ReplayOptions, replayed, sayPast } from './policy-replay.ts'

interface RuleOptions extends UsageLimitOptions, WaitOptions, ReplayOptions {
  readonly tcp?: true
  readonly udp?: true
  readonly until?: string
  readonly reason?: string
  readonly owner?: string
  readonly audit?: true
}

export function addAllow(program: Command): void {
  const allow = addRule(program, 'allow', 'let SOURCE connect to DESTINATION')
  allow.option('--audit', 'record each flow that no other rule and no whitelist allows (event flow-audited)')
  addUsageLimits(allow, 'by this rule to each registration of DESTINATION')
}

export function addDeny(program: Command): void {
  const text = 'forbid SOURCE to connect to DESTINATION, against all other rules, and cut open connections'
  addReplay(
    addRule(program, 'deny', text)
      .option('--dry-run', 'only list the flows of this host that this would cut now')
      .option('--mesh', 'with --dry-run: list those of all hosts')
  )
}

function addRule(program: Command, name: 'allow' | 'deny', description: string): Command {
  const rule = program
    .command(name)
    .description(description)
    .argument('<source>', 'pattern, as in dev.shop.*.default')
    .argument('<destination>', 'pattern, as in dev.web.nginx.default')
    .option('--tcp', 'only TCP (default: TCP and UDP)')
    .option('--udp', 'only UDP')
    .option('--until <time>', 'end of the rule: 30m, 7d, 2030-12-24, 2030-12-24T18:00Z')
    .option('--reason <text>', 'reason that `warren policy show` prints')
    .option('--owner <text>', 'who answers for it, as `warren policy show` prints it')
  return addReceiptsWait(rule).action(
    async (source: string, destination: string, options: RuleOptions, command: Command) => {
      const untilMs = BigInt(options.until === undefined ? 0 : parseUntil(options.until, Date.now()))
      const context = contextOf(command)
      const { agent, show, say } = context
      const dryRun = options.dryRun === true
      const effect = options.audit === true ? 'audit' : name
      const wanted = {
        effect,
        source,
        destination,
        protocols: protocols(options),
        untilMs,
        reason: options.reason ?? '',
        owner: options.owner ?? '',
        ...usageLimitFields(options)
      }
      const withRules = isReplayed(options)
      if (isOnMesh(options)) {
        await previewOnMesh(context, { case: 'rule', value: { rule: wanted, dryRun: true } }, options.timeout)
        return
      }
      const wait = receiptsWait(context, options)
      const answer = await agent.admin.addRule({ dryRun, rule: wanted, withRules })
      const { rule, version, consequences } = answer
      if (dryRun) {
        const view = consequencesView(consequences)
        const past = withRules ? await replayed(context, options, answer) : undefined
        show({ dryRun, version, ...view, ...(past !== undefined && { past }) }, () =>
          [consequencesText(view), past === undefined ? '' : pastText(past)].filter(text => text !== '').join('\n\n')
        )
        say(consequencesSummary(view))
        if (past !== undefined) sayPast(context, past)
        return
      }
      const awaited = await wait(version)
      show({ rule: rule === undefined ? undefined : ruleView(rule), version, ...awaited }, () => rule?.id ?? '')
      say(`${effect} ${source} → ${destination} is in force here, as policy version ${version}`)
      sayReceipts(context, version, awaited)
    }
  )
}

function protocols(options: RuleOptions): apiPb.Protocol[] {
  return [...(options.tcp === true ? [apiPb.Protocol.TCP] : []), ...(options.udp === true ? [apiPb.Protocol.UDP] : [])]
}
