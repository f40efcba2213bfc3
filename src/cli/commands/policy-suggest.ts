import type { Command } from 'commander'
import type { AgentClient } from '../../client/index.ts'
import { policyFiles } from '../../config/index.ts'
import { parseDuration, shellWord } from '../../core/index.ts'
import type { Attempt, Suggested, Suggestion, SuggestPolicy } from '../../policy/index.ts'
import { contextOf } from '../context.ts'
import { formatDuration, print, printable } from '../output/index.ts'
import { type AttemptReader, attemptReader, recordsOf } from './attempts.ts'

interface SuggestCommandOptions {
  readonly since: string
  readonly machines?: true
  readonly yaml?: true
}

interface Observed {
  readonly attempts: readonly Attempt[]
  /** Where they are from, as a clause. */
  readonly from: string
}

const DAY_MS = 86_400_000
const MAX_SINCE_MS = 366 * DAY_MS
const REFUSED = 'flow-refused'
const AUDITED = 'flow-audited'

const AFTER = `
Nothing is changed. The rules allow what was attempted and nothing else; read each one before you use it: whoever is refused chooses what
is listed. Without a file, events of this host's agent count, which remembers the last 256 refusals of a day. An audit log has all of them, also
that of another host.
  warren policy suggest --since 7d /var/lib/warren/audit.log
  warren policy suggest --yaml >more.yaml && warren policy apply more.yaml --dry-run`

export function addPolicySuggest(policy: Command): void {
  policy
    .command('suggest')
    .description(
      'propose the fewest allow rules for what was refused, or passed by an audit rule alone; changes nothing'
    )
    .argument('[file...]', 'audit logs to read (default: the events that the agent of this host remembers)')
    .option('--since <time>', 'only attempts of this time, as in 90s, 2h or 7d', '7d')
    .option('--machines', 'name the machines in the rules (default: any machine)')
    .option('--yaml', 'print a policy file, for `warren policy apply`')
    .addHelpText('after', AFTER)
    .action(async (files: string[], { since, machines, yaml }: SuggestCommandOptions, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const sinceMs = Date.now() - parseDuration('--since', since, 1, MAX_SINCE_MS)
      const { attempts, from } = files.length === 0 ? await ofEvents(agent, sinceMs) : await ofLogs(files, sinceMs)
      const { suggestRules } = await import('../../policy/index.ts')
      const found = suggestRules(attempts, await policyOf(agent), {
        withMachines: machines === true,
        nowMs: Date.now()
      })
      if (yaml === true) print((await fileOf(found)).trimEnd())
      else show({ from, attempts: attempts.length, ...found }, ({ suggestions }) => textOf(suggestions))
      for (const line of remarks(found, attempts.length, from)) say(line)
      if (files.length === 0 && command.getOptionValueSource('since') === 'cli' && Date.now() - sinceMs > DAY_MS) {
        say('events are remembered for a day; an audit log (warren up --audit on) has all of its time')
      }
    })
}

async function ofEvents(agent: AgentClient, sinceMs: number): Promise<Observed> {
  const attemptOf = await attemptReader()
  const attempts: Attempt[] = []
  for await (const { events } of agent.admin.watchEvents({ sinceMs: BigInt(sinceMs), names: [REFUSED, AUDITED] })) {
    for (const { name, atMs, fields } of events) {
      attempts.push(...listOf(attemptOf(name, JSON.parse(fields) as Record<string, unknown>), name, Number(atMs)))
    }
  }
  return { attempts, from: 'the events of this host' }
}

async function ofLogs(files: readonly string[], sinceMs: number): Promise<Observed> {
  const attemptOf = await attemptReader()
  const attempts = (await recordsOf(files, sinceMs, [REFUSED, AUDITED])).flatMap(({ event, at, fields }) =>
    listOf(attemptOf(event, fields), event, Date.parse(at))
  )
  return { attempts, from: files.length === 1 ? `${files[0]}` : `${files.length} audit logs` }
}

function listOf(found: ReturnType<AttemptReader>, name: string, atMs: number): Attempt[] {
  return found === undefined ? [] : [{ ...found, atMs, isAudited: name === AUDITED }]
}

async function policyOf(agent: AgentClient): Promise<SuggestPolicy> {
  const { ruleFrom, invariantFrom, revocationFrom } = await import('../../policy/index.ts')
  const { version, rules, revocations, invariants } = await agent.admin.getPolicy({})
  return {
    version,
    rules: rules.map(rule => ({ ...ruleFrom(rule), id: rule.id, createdAtMs: 0 })),
    revocations: revocations.map(revocationFrom),
    invariants: invariants.map(one => ({ ...invariantFrom(one), id: one.id, createdAtMs: 0 }))
  }
}

async function fileOf({ suggestions }: Suggested): Promise<string> {
  const { formatRules } = await policyFiles()
  return formatRules(suggestions.map(one => ({ ...one, effect: 'allow', reason: `suggested: ${attemptsText(one)}` })))
}

function textOf(suggestions: readonly Suggestion[]): string {
  return suggestions
    .map(one => {
      const { source, destination, protocols } = one
      const command = ['warren', 'allow', source, destination].map(shellWord).join(' ')
      return `${command}${protocols.length === 1 ? ` --${protocols[0]}` : ''}  # ${attemptsText(one)}, ${lastText(one)}`
    })
    .map(printable)
    .join('\n')
}

function attemptsText({ refused, audited }: Suggestion): string {
  const parts = [...(refused > 0 ? [`${refused} refused`] : []), ...(audited > 0 ? [`${audited} audited`] : [])]
  return parts.join(', ')
}

function lastText({ lastMs }: Suggestion): string {
  return `the last one ${formatDuration(Math.max(0, Date.now() - lastMs))} ago`
}

function remarks({ suggestions, unanswered, allowed, leftOut }: Suggested, attempts: number, from: string): string[] {
  const rules = `${suggestions.length} ${suggestions.length === 1 ? 'rule' : 'rules'}`
  const lines = [`${rules} for ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'} in ${from}; nothing was changed`]
  if (allowed > 0) lines.push(`${allowed} of them would be allowed by now`)
  for (const { source, destination, protocol, attempts: count, why } of unanswered.slice(0, MAX_REMARKS)) {
    lines.push(`no rule for ${source} -> ${destination} (${protocol}), attempted ${count} ×: ${why}`)
  }
  if (unanswered.length > MAX_REMARKS) {
    lines.push(`no rule for ${unanswered.length - MAX_REMARKS} further pairs: --json lists them`)
  }
  if (leftOut > 0) lines.push(`${leftOut} attempts of further pairs were left out: use --since`)
  return lines
}

const MAX_REMARKS = 10
