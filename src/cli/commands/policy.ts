import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { ruleTable, ruleView } from '../output/views.ts'

export function addPolicy(program: Command): void {
  const policy = program.command('policy').description('the rules in force')
  policy
    .command('show')
    .description('list the rules')
    .action(async (_options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { version, rules: found, issuedAtMs, admin } = await agent.admin.getPolicy({})
      const rules = found.map(ruleView)
      show({ version, issuedAtMs, admin, rules }, () => ruleTable(rules, Date.now()))
      const here = admin ? 'this host sets it' : 'the founding host sets it'
      say(
        rules.length === 0 ? `no rules: nothing is allowed but by whitelists; ${here}` : `version ${version}; ${here}`
      )
    })
  policy
    .command('remove')
    .description('take one rule back')
    .argument('<rule>', 'its id, as `warren policy show` lists it')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { version } = await agent.admin.removeRule({ id })
      show({ id, version }, () => id)
      say(`rule ${id} is gone, as of policy version ${version}`)
    })
}
