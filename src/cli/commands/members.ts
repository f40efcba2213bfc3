import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { type List, type ListOptions, showList, watchOption, wideOption } from '../lists.ts'
import { type MemberView, memberTable, memberView, versionTable } from '../output/index.ts'

interface MembersOptions extends ListOptions {
  readonly versions?: true
  readonly forget?: string
}

interface Members {
  readonly members: readonly MemberView[]
  readonly lost: readonly MemberView[]
}

const MEMBERS: List<Members> = {
  load: async (agent, options) => {
    const { members, lost } = await agent.admin.listMembers({}, options)
    return { members: members.map(memberView), lost: lost.map(memberView) }
  },
  text: ({ members, lost }) => memberTable([...members, ...lost], Date.now()),
  // Every host renews its lease all the time.
  compared: ({ members, lost }) => [members, lost].map(all => all.map(({ leaseLeftMs, seq, ...member }) => member))
}

const VERSIONS: List<Members> = { ...MEMBERS, text: ({ members }) => versionTable(members) }

export function addMembers(program: Command): void {
  program
    .command('members')
    .description('list the hosts of the mesh, as this one sees them')
    .option('--versions', 'show the versions of their programs and protocols')
    .option('--forget <machine>', 'do not show this lost host any more')
    .addOption(watchOption().conflicts('forget'))
    .addOption(wideOption())
    .addHelpText(
      'after',
      '\nA host that is no member any more is shown for a day, with the reason: left, silent or evicted.'
    )
    .action(async ({ versions, forget, ...options }: MembersOptions, command: Command) => {
      const context = contextOf(command)
      if (forget === undefined) {
        await showList(context, versions === true ? VERSIONS : MEMBERS, options)
        return
      }
      const { member } = await context.agent.admin.forgetMember({ machine: forget })
      context.show({ forgotten: member === undefined ? undefined : memberView(member) }, () => forget)
    })
}
