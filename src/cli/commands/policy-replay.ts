import type { Command } from 'commander'
import { ErrorCode, parseDuration, WarrenError } from '../../core/index.ts'
import type { Decisive, Difference, PastConnection, Replayed } from '../../policy/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { Context } from '../context.ts'
import { collect } from '../options/collect.ts'
import { formatDuration, table } from '../output/index.ts'
import { attemptReader, recordsOf } from './attempts.ts'
import { auditLogPath } from './audit.ts'

/** The options of `addReplay`. */
export interface ReplayOptions {
  readonly dryRun?: true
  readonly mesh?: true
  readonly since?: string
  readonly log?: string[]
}

/** What a change would have done to connections of the past. */
export interface PastView extends Replayed {
  readonly logs: readonly string[]
  readonly sinceMs: number
}

type Rules = Pick<adminPb.ApplyPolicyResponse, 'rules'>

const OPENED = 'flow-opened'
const REFUSED = 'flow-refused'
const MAX_SINCE_MS = 366 * 86_400_000
const MAX_LINES = 100

/** `--since` and `--log`, of a dry run. */
export function addReplay(command: Command): Command {
  return command
    .option(
      '--since <time>',
      'with --dry-run: also list which connections of this time, as in 7d, would have been refused or newly allowed, by the audit log'
    )
    .option(
      '--log <file>',
      'with --since: the audit log to read, also that of another host; may be repeated (default: WARREN_AUDIT, else audit.log of the state directory)',
      collect
    )
}

/** Checks the options, before anything is asked. Throws INVALID_OPTION. */
export function isReplayed({ dryRun, mesh, since, log }: ReplayOptions): boolean {
  if (since === undefined && log === undefined) return false
  if (since === undefined)
    throw new WarrenError(ErrorCode.InvalidOption, '--log is for --since', { hint: 'Add --since 7d.' })
  if (dryRun !== true) {
    throw new WarrenError(ErrorCode.InvalidOption, '--since is for --dry-run', { hint: 'Add --dry-run.' })
  }
  if (mesh !== true) return true
  throw new WarrenError(ErrorCode.InvalidOption, '--since reads audit logs, which --mesh does not ask for', {
    hint: 'Leave --mesh out, and name the logs of other hosts with --log.'
  })
}

/** Decides what the logs have under the rules of now, and under those of the answer to a dry run with rules. */
export async function replayed(
  { agent }: Context,
  { since = '', log }: ReplayOptions,
  { rules }: Rules
): Promise<PastView> {
  const { replay, ruleFrom, revocationFrom } = await import('../../policy/index.ts')
  const nowMs = Date.now()
  const sinceMs = nowMs - parseDuration('--since', since, 1, MAX_SINCE_MS)
  const logs = log ?? [await auditLogPath(undefined)]
  const [past, { revocations, version }, now] = await Promise.all([
    pastOf(logs, sinceMs),
    agent.admin.getPolicy({}),
    // A change of nothing: the rules that decide now, those that stand for invariants too.
    agent.admin.applyPolicy({ document: {}, dryRun: true, withRules: true })
  ])
  const policyOf = (some: Rules['rules']): Decisive => ({
    version,
    rules: some.map(rule => ({ ...ruleFrom(rule), id: rule.id, createdAtMs: 0 })),
    revocations: revocations.map(revocationFrom)
  })
  return { logs, sinceMs, ...replay(past, policyOf(now.rules), policyOf(rules), nowMs) }
}

async function pastOf(logs: readonly string[], sinceMs: number): Promise<PastConnection[]> {
  const attemptOf = await attemptReader()
  return (await recordsOf(logs, sinceMs, [OPENED, REFUSED])).flatMap(({ event, at, fields }) => {
    const found = attemptOf(event, fields)
    if (found === undefined) return []
    const { rule, ...ends } = found
    return [{ ...ends, atMs: Date.parse(at), isRefused: event === REFUSED, isWhitelisted: rule === 'WHITELIST' }]
  })
}

export function pastText({ refused, allowed }: PastView): string {
  return [
    ...(refused.length === 0 ? [] : [differenceTable('WOULD HAVE BEEN REFUSED', refused)]),
    ...(allowed.length === 0 ? [] : [differenceTable('WOULD BE NEWLY ALLOWED', allowed)])
  ].join('\n\n')
}

function differenceTable(title: string, differences: readonly Difference[]): string {
  const now = Date.now()
  return table(
    [
      { title, value: ({ source }) => source },
      { title: 'DESTINATION', value: ({ destination }) => destination },
      { title: 'PROTOCOL', value: ({ protocol }) => protocol },
      { title: 'TIMES', value: ({ connections }) => String(connections), align: 'right' },
      { title: 'LAST', value: ({ lastMs }) => `${formatDuration(Math.max(0, now - lastMs))} ago`, align: 'right' },
      { title: 'WHY', value: ({ why }) => why }
    ],
    differences.slice(0, MAX_LINES)
  )
}

export function sayPast({ say }: Context, { refused, allowed, connections, leftOut, logs }: PastView): void {
  const count = (some: readonly Difference[]): number => some.reduce((sum, one) => sum + one.connections, 0)
  const where = logs.length === 1 ? `${logs[0]}` : `${logs.length} audit logs`
  say(
    `of ${connections} connections in ${where}, ${count(refused)} would have been refused and ${count(allowed)} newly allowed`
  )
  const more = Math.max(0, refused.length - MAX_LINES) + Math.max(0, allowed.length - MAX_LINES)
  if (more > 0) say(`${more} further pairs are not shown: --json has them`)
  if (leftOut > 0) say(`${leftOut} connections of further pairs were left out: use a shorter --since`)
}
