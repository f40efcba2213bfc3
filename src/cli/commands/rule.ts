import type { Command } from 'commander'
import { apiPb } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { parseUntil } from '../options/index.ts'
import { addUsageLimits, type UsageLimitOptions, usageLimitFields } from '../options/usage-limits.ts'
import { ruleView } from '../output/index.ts'

interface RuleOptions extends UsageLimitOptions {
  readonly tcp?: true
  readonly udp?: true
  readonly until?: string
  readonly reason?: string
}

export function addAllow(program: Command): void {
  const allow = addRule(program, 'allow', 'let SOURCE connect to DESTINATION')
  addUsageLimits(allow, 'by this rule to each registration of DESTINATION')
}

export function addDeny(program: Command): void {
  addRule(program, 'deny', 'forbid SOURCE to connect to DESTINATION, against all other rules, and cut open connections')
}

function addRule(program: Command, effect: 'allow' | 'deny', description: string): Command {
  return program
    .command(effect)
    .description(description)
    .argument('<source>', 'pattern, as in dev.shop.*.default')
    .argument('<destination>', 'pattern, as in dev.web.nginx.default')
    .option('--tcp', 'only TCP (default: TCP and UDP)')
    .option('--udp', 'only UDP')
    .option('--until <time>', 'end of the rule: 30m, 7d, 2030-12-24, 2030-12-24T18:00Z')
    .option('--reason <text>', 'reason that `warren policy show` prints')
    .action(async (source: string, destination: string, options: RuleOptions, command: Command) => {
      const untilMs = BigInt(options.until === undefined ? 0 : parseUntil(options.until, Date.now()))
      const { agent, show, say } = contextOf(command)
      const { rule, version } = await agent.admin.addRule({
        rule: {
          effect,
          source,
          destination,
          protocols: protocols(options),
          untilMs,
          reason: options.reason ?? '',
          ...usageLimitFields(options)
        }
      })
      show({ rule: rule === undefined ? undefined : ruleView(rule), version }, () => rule?.id ?? '')
      say(`${effect} ${source} → ${destination} is in force here, as policy version ${version}`)
    })
}

function protocols(options: RuleOptions): apiPb.Protocol[] {
  return [...(options.tcp === true ? [apiPb.Protocol.TCP] : []), ...(options.udp === true ? [apiPb.Protocol.UDP] : [])]
}
