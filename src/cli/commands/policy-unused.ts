import type { Command } from 'commander'
import type { adminPb } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { formatDuration, type RuleView, ruleView, table } from '../output/index.ts'

interface UnusedRule {
  readonly rule: RuleView
  readonly sources: number
  readonly destinations: number
  /** Why it is listed. */
  readonly why: string
}

export function addPolicyUnused(policy: Command): void {
  asList(
    policy
      .command('unused')
      .description('list rules that match no registration, or decided about no connection of this host')
  ).action(async (options: ListOptions, command: Command) => await showList(contextOf(command), UNUSED, options))
}

interface Unused {
  readonly sinceMs: bigint
  /** Number of rules, those in use among them. */
  readonly total: number
  readonly rules: readonly UnusedRule[]
}

const UNUSED: List<Unused> = {
  load: async (agent, options) => {
    const { rules, sinceMs } = await agent.admin.listRuleUse({}, options)
    return { sinceMs, total: rules.length, rules: rules.flatMap(unusedRule) }
  },
  text: ({ rules }) => (rules.length === 0 ? '' : unusedTable(rules)),
  notes: ({ sinceMs, total, rules }) => {
    const time = formatDuration(Math.max(0, Date.now() - Number(sinceMs)))
    return [`${rules.length} of ${total} rules; this host has counted for ${time}; other hosts were not asked`]
  }
}

function unusedRule({ rule, sources, destinations, lastUsedAtMs }: adminPb.RuleUse): UnusedRule[] {
  const missing = [...(sources === 0 ? ['source'] : []), ...(destinations === 0 ? ['destination'] : [])]
  if (rule === undefined || (missing.length === 0 && lastUsedAtMs > 0n)) return []
  const why =
    missing.length > 0
      ? `nothing registered matches its ${missing.join(' and its ')}`
      : 'no connection of this host used it'
  return [{ rule: ruleView(rule), sources, destinations, why }]
}

function unusedTable(rules: readonly UnusedRule[]): string {
  return table(
    [
      { title: 'RULE', value: ({ rule }) => rule.id },
      { title: 'EFFECT', value: ({ rule }) => rule.effect },
      { title: 'SOURCE', value: ({ rule }) => rule.source },
      { title: 'DESTINATION', value: ({ rule }) => rule.destination },
      { title: 'WHY', value: ({ why }) => why }
    ],
    rules
  )
}
