import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { type List, type ListOptions, showList, watchOption, wideOption } from '../lists.ts'
import { type FlowView, flowTable, flowView } from '../output/index.ts'
import { showMeshFlows } from './observe.ts'

const AFTER = `
With --mesh every host is asked, and a flow between two hosts is in the list of each. This works on the hosts of owners and
observers. Each host notes who has asked. Exit code 3 if a host has not answered.`

interface FlowsOptions extends ListOptions {
  readonly mesh?: true
  readonly timeout?: string
}

const FLOWS: List<{ readonly flows: readonly FlowView[] }> = {
  load: async (agent, options) => ({ flows: (await agent.admin.listFlows({}, options)).flows.map(flowView) }),
  text: ({ flows }) => flowTable(flows, Date.now())
}

export function addFlows(program: Command): void {
  program
    .command('flows')
    .description('list the connections that this host carries now')
    .option('--mesh', 'list those of all hosts')
    .option('--timeout <time>', 'with --mesh: how long to wait for hosts that do not answer (default: 10s)')
    .addOption(watchOption().conflicts('mesh'))
    .addOption(wideOption())
    .addHelpText('after', AFTER)
    .action(async ({ mesh, timeout, ...options }: FlowsOptions, command: Command) => {
      const context = contextOf(command)
      if (mesh === true) await showMeshFlows(context, timeout)
      else await showList(context, FLOWS, options)
    })
}
