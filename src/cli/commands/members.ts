import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { memberTable, memberView, versionTable } from '../output/index.ts'
import { watched, watchOption } from '../watch.ts'

interface MembersOptions {
  readonly versions?: true
  readonly watch?: true
  readonly forget?: string
}

export function addMembers(program: Command): void {
  program
    .command('members')
    .description('list the hosts of the mesh, as this one sees them')
    .option('--versions', 'show the versions of their programs and protocols')
    .option('--forget <machine>', 'do not show this lost host any more')
    .addOption(watchOption().conflicts('forget'))
    .addHelpText(
      'after',
      '\nA host that is no member any more is shown for a day, with the reason: left, silent or evicted.'
    )
    .action(async ({ versions, watch, forget }: MembersOptions, command: Command) => {
      const context = contextOf(command)
      const { agent, show } = context
      if (forget !== undefined) {
        const { member } = await agent.admin.forgetMember({ machine: forget })
        show({ forgotten: member === undefined ? undefined : memberView(member) }, () => forget)
        return
      }
      const load = async (signal?: AbortSignal) => {
        const answer = await agent.admin.listMembers({}, signal === undefined ? {} : { signal })
        return { members: answer.members.map(memberView), lost: answer.lost.map(memberView) }
      }
      const text = ({ members, lost }: Awaited<ReturnType<typeof load>>): string =>
        versions === true ? versionTable(members) : memberTable([...members, ...lost], Date.now())
      if (watch === true) await watched(context, load, text)
      else show(await load(), text)
    })
}
