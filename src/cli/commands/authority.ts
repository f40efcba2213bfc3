import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { type AuthorityView, authorityTable, authorityView, formatWhen } from '../output/index.ts'
import { addJoinTrusts } from './join-trusts.ts'

const AUTHORITIES: List<{ readonly authorities: readonly AuthorityView[] }> = {
  load: async (agent, options) => ({
    authorities: (await agent.admin.listAuthorities({}, options)).authorities.map(authorityView)
  }),
  text: ({ authorities }) => authorityTable(authorities, Date.now())
}

export function addAuthority(program: Command): void {
  const authority = program.command('authority').description('hosts that admit others and renew their certificates')
  addJoinTrusts(authority)
  asList(
    authority.command('list').description('list the authorities, with the end of the certificate that each one reports')
  ).action(async (options: ListOptions, command: Command) => await showList(contextOf(command), AUTHORITIES, options))
  authority
    .command('add')
    .description('make a member an authority; needs the root key on this host')
    .argument('<machine>', 'its name, as `warren members` lists it')
    .addHelpText(
      'after',
      '\nJoins and renewals continue as long as one authority runs. Its keys can admit hosts of any name.'
    )
    .action(async (machine: string, _options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { notAfterMs } = await agent.admin.addAuthority({ machine })
      show({ machine, notAfterMs }, () => machine)
      say(
        `${machine} is an authority until ${formatWhen(Number(notAfterMs), Date.now())}, and is renewed automatically`
      )
    })
  authority
    .command('remove')
    .description('make an authority delete its key; the hosts that it admitted stay, and renew at another authority')
    .argument('<machine>', 'its name')
    .addHelpText('after', '\nThe authority must answer. Use `warren evict` for one that is lost or compromised.')
    .action(async (machine: string, _options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      await agent.admin.removeAuthority({ machine })
      show({ machine }, () => machine)
      say(`${machine} is no longer an authority; the hosts that it admitted stay`)
    })
}
