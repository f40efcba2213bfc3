import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { flowTable, flowView } from '../output/index.ts'

export function addFlows(program: Command): void {
  program
    .command('flows')
    .description('list the connections that this host carries now')
    .action(async (_options: unknown, command: Command) => {
      const { agent, show } = contextOf(command)
      const flows = (await agent.admin.listFlows({})).flows.map(flowView)
      show({ flows }, () => flowTable(flows, Date.now()))
    })
}
