import type { Command } from 'commander'
import type { FileTest } from '../../config/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { Assertions, Example } from '../../policy/index.ts'
import { type Context, contextOf } from '../context.ts'
import { Exit } from '../exit.ts'
import { print, printable, printJson } from '../output/index.ts'
import { requirePolicyFile } from './policy-file.ts'

const AFTER_TEST = `
The list "tests" of a file has the assertions, as in "- dev.web.*.* -> dev.db.*.*: allowed". "allowed": every connection of the two patterns
is allowed now; "denied": none is. Rules alone count, and not the whitelists of destinations. With --policy no agent is needed. Exit code 0
if all of them hold, 1 if one does not.`

interface Result {
  readonly file: string
  readonly line: number
  readonly test: string
  readonly expected: 'allowed' | 'denied'
  readonly holds: boolean
  /** A connection for which it does not hold, and what the policy says of it. */
  readonly example?: string
  readonly why?: string
}

export function addPolicyTest(policy: Command): void {
  policy
    .command('test')
    .description('decide whether assertions about connections hold, in a policy file or in the policy in force')
    .argument('<path...>', 'files with a list "tests"')
    .option('--policy <file>', 'the policy to test (default: that of the agent)')
    .addHelpText('after', AFTER_TEST)
    .action(async (paths: string[], options: { readonly policy?: string }, command: Command) => {
      const context = contextOf(command)
      const assertions = await assertionsOf(context, options.policy)
      const results: Result[] = []
      for (const path of paths) {
        const { tests } = await requirePolicyFile(path)
        if (tests.length === 0) {
          throw new WarrenError(ErrorCode.InvalidConfig, `${path} has no tests`, {
            hint: 'Add a list: "tests:", and below it "- dev.web.*.* -> dev.db.*.*: allowed".'
          })
        }
        for (const test of tests) results.push(await resultOf(assertions, test))
      }
      const failed = results.filter(({ holds }) => !holds)
      if (context.json) printJson({ tests: results })
      else for (const result of failed) print(printable(failureLine(result)))
      const what = `${results.length} ${results.length === 1 ? 'assertion' : 'assertions'}`
      context.say(
        failed.length === 0
          ? `${what}: all hold`
          : `${what}: ${failed.length} ${failed.length === 1 ? 'does' : 'do'} not hold`
      )
      if (failed.length > 0) process.exitCode = Exit.Failed
    })
}

async function assertionsOf({ agent }: Context, path: string | undefined): Promise<Assertions> {
  const { Assertions, documentFrom, ruleFrom } = await import('../../policy/index.ts')
  if (path === undefined) {
    const { rules } = await agent.admin.getPolicy({})
    return new Assertions(
      rules.map(rule => ({ ...ruleFrom(rule), id: rule.id, createdAtMs: 0 })),
      Date.now()
    )
  }
  const { document, placeOf } = await requirePolicyFile(path)
  const rules = documentFrom(document).rules ?? []
  return new Assertions(
    rules.map((rule, index) => ({ ...rule, id: `of line ${placeOf('rules', index).line}`, createdAtMs: 0 })),
    Date.now()
  )
}

async function resultOf(assertions: Assertions, test: FileTest): Promise<Result> {
  const { file, line } = test.at
  const result = { file, line, test: test.text, expected: test.isAllowed ? 'allowed' : 'denied' } as const
  const verdict = assertions.decide(test)
  if (verdict.holds) return { ...result, holds: true }
  const { example } = verdict
  if (example === undefined) return { ...result, holds: false, why: 'it takes too many steps to decide' }
  return { ...result, holds: false, example: await exampleText(example), why: assertions.why(example) }
}

async function exampleText({ source, destination, protocol }: Example): Promise<string> {
  const text = (address: Example['source']): string => Object.values(address).join('.')
  return `${text(source)} -> ${text(destination)} (${protocol})`
}

function failureLine({ file, line, test, expected, example, why = '' }: Result): string {
  const shown = example === undefined ? '' : `${example} is ${expected === 'allowed' ? 'denied' : 'allowed'}: `
  return `${file}:${line}: ${test}: ${expected} does not hold: ${shown}${why}`
}
