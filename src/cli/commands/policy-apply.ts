import type { Command } from 'commander'
import { parseDuration, sleep } from '../../core/index.ts'
import type { adminPb } from '../../wire/index.ts'
import { type Context, contextOf } from '../context.ts'
import { Exit } from '../exit.ts'
import { consequencesSummary, consequencesText, consequencesView, fields, printable } from '../output/index.ts'
import { requirePolicyFile } from './policy-file.ts'

interface ApplyOptions {
  readonly prune?: true
  readonly dryRun?: true
  readonly wait?: true
  readonly timeout?: string
}

const PRUNE = 'also remove what the policy has and a list of the file does not name'
const WAIT_MS = 30_000
const MAX_WAIT_MS = 3_600_000
const POLL_MS = 200

const AFTER_APPLY = `
All changes are one version of the policy, signed once: all hosts take all of it or nothing. A list that the file does not have is not
touched, nor are revocations. Refused if an invariant would be broken. docs/policy-as-code.md describes the file.`

export function addPolicyDiff(policy: Command): void {
  policy
    .command('diff')
    .description('list what `warren policy apply` would change')
    .argument('<path>', 'policy file')
    .option('--prune', PRUNE)
    .action(async (path: string, { prune = false }: { prune?: boolean }, command: Command) => {
      const context = contextOf(command)
      const { document } = await requirePolicyFile(path)
      const { version, changes: found } = await context.agent.admin.applyPolicy({ document, prune, dryRun: true })
      const changes = found.map(fields)
      context.show({ version, changes }, () => changeLines(changes))
      sayChanges(context, changes)
    })
}

export function addPolicyApply(policy: Command): void {
  policy
    .command('apply')
    .description('make the policy what a file says, in one version')
    .argument('<path>', 'policy file')
    .option('--prune', PRUNE)
    .option('--dry-run', 'change nothing; list what would change, and the flows of this host that would be cut now')
    .option('--wait', 'continue until every host has the new version')
    .option('--timeout <time>', 'with --wait: time after which the command fails (default: 30s)')
    .addHelpText('after', AFTER_APPLY)
    .action(async (path: string, options: ApplyOptions, command: Command) => {
      const timeoutMs =
        options.timeout === undefined ? WAIT_MS : parseDuration('--timeout', options.timeout, POLL_MS, MAX_WAIT_MS)
      const context = contextOf(command)
      const { prune = false, dryRun = false } = options
      const { document } = await requirePolicyFile(path)
      const answer = await context.agent.admin.applyPolicy({ document, prune, dryRun })
      const { version } = answer
      const changes = answer.changes.map(fields)
      if (dryRun) {
        const view = consequencesView(answer.consequences)
        context.show({ dryRun, version, changes, ...view }, () =>
          [changeLines(changes), consequencesText(view)].filter(text => text !== '').join('\n\n')
        )
        sayChanges(context, changes)
        context.say(consequencesSummary(view))
        return
      }
      const missing = options.wait === true ? await hostsWithout(context, version, timeoutMs) : undefined
      context.show({ version, changes, ...(missing !== undefined && { missing }) }, () => changeLines(changes))
      const isSame = changes.every(({ kind }) => kind === 'kept' || kind === 'ended')
      sayChanges(context, changes)
      context.say(isSame ? `policy version ${version} stays in force` : `policy version ${version} is in force here`)
      if (missing === undefined) return
      if (missing.length === 0) {
        context.say(`every host has version ${version}`)
        return
      }
      context.say(
        `no answer yet from ${missing.map(printable).join(', ')}: they take the version when they can be reached`
      )
      process.exitCode = Exit.Failed
    })
}

/** The members that do not have a version when the time is over. */
async function hostsWithout({ agent }: Context, version: bigint, timeoutMs: number): Promise<string[]> {
  const endMs = performance.now() + timeoutMs
  const { signal } = new AbortController()
  for (;;) {
    const [{ members }, { adminName, sets }] = await Promise.all([
      agent.admin.listMembers({}),
      agent.admin.getPolicy({})
    ])
    // Only the bundle of the founder has a version that members announce; of other admins they announce what they hold.
    const hasIt = (member: adminPb.Member): boolean =>
      adminName === 'founder' || adminName === '' ? member.policyVersion >= version : member.policySets === sets
    const missing = members.filter(member => member.state !== 'gone' && !hasIt(member)).map(({ machine }) => machine)
    if (missing.length === 0 || performance.now() >= endMs) return missing
    await sleep(POLL_MS, signal)
  }
}

type ChangeView = Omit<adminPb.PolicyChange, '$typeName' | '$unknown'>

const SIGNS: Readonly<Record<string, string>> = { add: '+', change: '~', remove: '-', kept: '=', ended: 'x' }

function changeLines(changes: readonly ChangeView[]): string {
  return changes
    .map(({ kind, subject, id, text, difference }) => {
      const named = subject === 'strict' ? text : `${subject}${id === '' ? '' : ` ${id}`}: ${text}`
      return printable(`${SIGNS[kind] ?? '?'} ${named}${difference === '' ? '' : `; ${difference}`}`)
    })
    .join('\n')
}

function sayChanges({ say }: Context, changes: readonly ChangeView[]): void {
  const count = (kinds: readonly string[]): number => changes.filter(({ kind }) => kinds.includes(kind)).length
  const differing = count(['add', 'change', 'remove'])
  say(differing === 0 ? 'nothing differs' : `${differing} ${differing === 1 ? 'change' : 'changes'}`)
  const kept = count(['kept'])
  if (kept > 0) say(`${kept} of the policy (=) ${kept === 1 ? 'is' : 'are'} not in the file: --prune removes them`)
  const ended = count(['ended'])
  if (ended > 0)
    say(`${ended} of the file (x) ${ended === 1 ? 'has' : 'have'} ended and ${ended === 1 ? 'is' : 'are'} left out`)
}
