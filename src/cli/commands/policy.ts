import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { entryTable, entryView, revocationTable, revocationView, ruleTable, ruleView } from '../output/index.ts'

export function addPolicy(program: Command): void {
  const policy = program.command('policy').description('show the policy, and remove rules')
  policy
    .command('show')
    .description('list the rules, entries and revocations')
    .action(async (_options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { version, issuedAtMs, admin, strict, ...found } = await agent.admin.getPolicy({})
      const rules = found.rules.map(ruleView)
      const entries = found.entries.map(entryView)
      const revocations = found.revocations.map(revocationView)
      show({ version, issuedAtMs, admin, rules, strict, entries, revocations }, () => {
        const now = Date.now()
        const more = [
          ...(entries.length === 0 ? [] : [entryTable(entries)]),
          ...(revocations.length === 0 ? [] : [revocationTable(revocations, now)])
        ]
        return [ruleTable(rules, now), ...more].join('\n\n')
      })
      if (strict) say('strict: only an entry grants an address')
      const here = admin ? 'this host sets it' : 'the founding host sets it'
      say(rules.length === 0 ? `no rules: only whitelists allow connections; ${here}` : `version ${version}; ${here}`)
    })
  policy
    .command('remove')
    .description('remove one rule')
    .argument('<rule>', 'its id, as `warren policy show` lists it')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { version } = await agent.admin.removeRule({ id })
      show({ id, version }, () => id)
      say(`rule ${id} is removed, as of policy version ${version}`)
    })
}
