import type { Command } from 'commander'
import type { AgentClient } from '../../client/index.ts'
import { type Fault, type PolicyFile, policyFiles } from '../../config/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { Exit } from '../exit.ts'
import { print, printable, printJson } from '../output/index.ts'

const AFTER_CHECK = `
No agent is needed. Exit code 0 if nothing is wrong, 1 if something is. The invariants of a file are checked with the rules of
the same file; an agent checks them with all of its rules. docs/policy-as-code.md describes the file.`

export function addPolicyExport(policy: Command): void {
  policy
    .command('export')
    .description('print the policy as a file for `warren policy apply`')
    .action(async (_options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const found = await ownStatements(agent)
      const { formatPolicyFile, policyFileData } = await policyFiles()
      show(policyFileData(found), () => formatPolicyFile(found).trimEnd())
      const { length } = found.revocations
      if (length > 0) say(`${length} ${length === 1 ? 'revocation is' : 'revocations are'} not part of the file`)
    })
}

export function addPolicyCheck(policy: Command): void {
  policy
    .command('check')
    .description('print a line for each fault of policy files: where it is, what is wrong and what to do')
    .argument('<path...>', 'policy files')
    .addHelpText('after', AFTER_CHECK)
    .action(async (paths: string[], _options: unknown, command: Command) => {
      const { json, say } = contextOf(command)
      const { readPolicyFile, formatFault } = await policyFiles()
      const faults: Fault[] = []
      for (const path of paths) faults.push(...(await allFaults(readPolicyFile(path))))
      if (json) printJson({ files: paths.length, faults })
      else for (const fault of faults) print(printable(formatFault(fault)))
      const what = `${paths.length} ${paths.length === 1 ? 'file' : 'files'}`
      if (faults.length > 0) process.exitCode = Exit.Failed
      say(
        faults.length === 0
          ? `${what}: nothing is wrong`
          : `${what}: ${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}`
      )
    })
}

// What another admin states is not this host's to apply.
async function ownStatements(agent: AgentClient) {
  const found = await agent.admin.getPolicy({})
  const { adminName: name } = found
  if (name === '') return found
  const isOwn = ({ by }: { readonly by: string }): boolean => by === name
  return {
    ...found,
    rules: found.rules.filter(isOwn),
    entries: found.entries.filter(isOwn),
    invariants: found.invariants.filter(isOwn)
  }
}

/** A policy file without faults. Throws INVALID_CONFIG with the first one. */
export async function requirePolicyFile(path: string): Promise<PolicyFile> {
  const { readPolicyFile, formatPlace } = await policyFiles()
  const file = readPolicyFile(path)
  const [first, ...others] = await allFaults(file)
  if (first === undefined) return file
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`
  throw new WarrenError(ErrorCode.InvalidConfig, `${formatPlace(first)}: ${first.text}${more}`, {
    hint: others.length === 0 ? first.hint : `${first.hint} \`warren policy check\` shows all of them.`
  })
}

/** Those of the form, else those of the content, else the invariants that the rules of the file break. */
async function allFaults({ faults, document, placeOf }: PolicyFile): Promise<readonly Fault[]> {
  if (faults.length > 0) return faults
  const { documentFrom, documentFaults, breaches, breachText, breachHint } = await import('../../policy/index.ts')
  const content = documentFrom(document)
  const wrong = documentFaults(content)
  if (wrong.length > 0)
    return wrong.map(({ section, index, text, hint }) => ({ ...placeOf(section, index), text, hint }))
  const { rules = [], invariants = [] } = content
  const unnumbered = { id: '', createdAtMs: 0 }
  const numbered = invariants.map((invariant, index) => ({ ...invariant, ...unnumbered, id: String(index) }))
  const broken = breaches(
    rules.map(rule => ({ ...rule, ...unnumbered })),
    numbered,
    Date.now()
  )
  return broken.map(breach => ({
    ...placeOf('invariants', Number(breach.invariant.id)),
    text: breachText(breach),
    hint: breachHint(breach)
  }))
}
