import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { authorityTable, authorityView, formatWhen } from '../output/index.ts'

export function addAuthority(program: Command): void {
  const authority = program.command('authority').description('hosts that admit others and renew their certificates')
  authority
    .command('list')
    .description('the authorities, each asked for the end of its certificate')
    .action(async (_options: unknown, command: Command) => {
      const { agent, show } = contextOf(command)
      const authorities = (await agent.admin.listAuthorities({})).authorities.map(authorityView)
      show({ authorities }, () => authorityTable(authorities, Date.now()))
    })
  authority
    .command('add')
    .description('make a member an authority; needs the root key on this host')
    .argument('<machine>', 'its name, as `warren members` lists it')
    .addHelpText(
      'after',
      '\nJoins and renewals go on as long as one authority lives. Whoever holds its keys can admit hosts of any name.'
    )
    .action(async (machine: string, _options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { notAfterMs } = await agent.admin.addAuthority({ machine })
      show({ machine, notAfterMs }, () => machine)
      say(`${machine} is an authority until ${formatWhen(Number(notAfterMs), Date.now())}, renewed by itself`)
    })
  authority
    .command('remove')
    .description('have an authority delete its key; the hosts that it admitted stay, and renew elsewhere')
    .argument('<machine>', 'its name')
    .addHelpText('after', '\nIt must answer. One that is lost or compromised is evicted by `warren evict`.')
    .action(async (machine: string, _options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      await agent.admin.removeAuthority({ machine })
      show({ machine }, () => machine)
      say(`${machine} is no authority any more; what it admitted stays`)
    })
}
