import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { memberTable, memberView, versionTable } from '../output/index.ts'

interface MembersOptions {
  readonly versions?: true
  readonly forget?: string
}

export function addMembers(program: Command): void {
  program
    .command('members')
    .description('list the hosts of the mesh, as this one sees them')
    .option('--versions', 'show the versions of their programs and protocols')
    .option('--forget <machine>', 'do not show this lost host any more')
    .addHelpText(
      'after',
      '\nA host that is no member any more is shown for a day, with the reason: left, silent or evicted.'
    )
    .action(async ({ versions, forget }: MembersOptions, command: Command) => {
      const { agent, show } = contextOf(command)
      if (forget !== undefined) {
        const { member } = await agent.admin.forgetMember({ machine: forget })
        show({ forgotten: member === undefined ? undefined : memberView(member) }, () => forget)
        return
      }
      const answer = await agent.admin.listMembers({})
      const [members, lost] = [answer.members.map(memberView), answer.lost.map(memberView)]
      show({ members, lost }, () =>
        versions === true ? versionTable(members) : memberTable([...members, ...lost], Date.now())
      )
    })
}
