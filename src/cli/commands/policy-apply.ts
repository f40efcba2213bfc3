import type { Command } from 'commander'
import type { adminPb } from '../../wire/index.ts'
import { type Context, contextOf } from '../context.ts'
import { addReceiptsWait, isOnMesh, receiptsWait, sayReceipts, type WaitOptions } from '../options/receipts.ts'
import { consequencesSummary, consequencesText, consequencesView, fields, printable } from '../output/index.ts'
import { previewOnMesh } from './observe.ts'
import { requirePolicyFile } from './policy-file.ts'
import { addReplay, isReplayed, pastText, type ReplayOptions, replayed, sayPast } from './policy-replay.ts'

interface ApplyOptions extends WaitOptions, ReplayOptions {
  readonly prune?: true
}

const PRUNE = 'also remove what the policy has and a list of the file does not name'

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
  const apply = policy
    .command('apply')
    .description('make the policy what a file says, in one version')
    .argument('<path>', 'policy file')
    .option('--prune', PRUNE)
    .option('--dry-run', 'change nothing; list what would change, and the flows of this host that would be cut now')
    .option('--mesh', 'with --dry-run: list the flows of all hosts that would be cut')
    .addHelpText('after', AFTER_APPLY)
  addReceiptsWait(addReplay(apply)).action(async (path: string, options: ApplyOptions, command: Command) => {
    const context = contextOf(command)
    const { prune = false, dryRun = false } = options
    const { document } = await requirePolicyFile(path)
    const withRules = isReplayed(options)
    if (isOnMesh(options)) {
      await previewOnMesh(context, { case: 'policy', value: { document, prune, dryRun: true } }, options.timeout)
      return
    }
    const wait = receiptsWait(context, options)
    const answer = await context.agent.admin.applyPolicy({ document, prune, dryRun, withRules })
    const { version } = answer
    const changes = answer.changes.map(fields)
    if (dryRun) {
      const view = consequencesView(answer.consequences)
      const past = withRules ? await replayed(context, options, answer) : undefined
      const pastLines = past === undefined ? '' : pastText(past)
      context.show({ dryRun, version, changes, ...view, ...(past !== undefined && { past }) }, () =>
        [changeLines(changes), consequencesText(view), pastLines].filter(text => text !== '').join('\n\n')
      )
      sayChanges(context, changes)
      context.say(consequencesSummary(view))
      if (past !== undefined) sayPast(context, past)
      return
    }
    const awaited = await wait(version)
    context.show({ version, changes, ...awaited }, () => changeLines(changes))
    const isSame = changes.every(({ kind }) => kind === 'kept' || kind === 'ended')
    sayChanges(context, changes)
    if (version > 0n)
      context.say(isSame ? `policy version ${version} stays in force` : `policy version ${version} is in force here`)
    sayReceipts(context, version, awaited)
  })
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
