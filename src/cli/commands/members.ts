import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { memberTable, memberView, versionTable } from '../output/index.ts'

export function addMembers(program: Command): void {
  program
    .command('members')
    .description('list the hosts of the mesh, as this one sees them')
    .option('--versions', 'show the versions of their programs and protocols')
    .action(async ({ versions }: { versions?: true }, command: Command) => {
      const { agent, show } = contextOf(command)
      const members = (await agent.admin.listMembers({})).members.map(memberView)
      show({ members }, () => (versions === true ? versionTable(members) : memberTable(members, Date.now())))
    })
}
