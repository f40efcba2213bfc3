import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { memberTable, memberView } from '../output/index.ts'

export function addMembers(program: Command): void {
  program
    .command('members')
    .description('list the hosts of the mesh, as this one sees them')
    .action(async (_options: unknown, command: Command) => {
      const { agent, show } = contextOf(command)
      const members = (await agent.admin.listMembers({})).members.map(memberView)
      show({ members }, () => memberTable(members, Date.now()))
    })
}
