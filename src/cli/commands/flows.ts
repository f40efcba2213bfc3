import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { flowTable, flowView } from '../output/index.ts'
import { watched, watchOption } from '../watch.ts'
import { showMeshFlows } from './observe.ts'

const AFTER = `
With --mesh every host is asked, and a flow between two hosts is in the list of each. This works on the hosts of owners and
observers. Each host notes who has asked. Exit code 3 if a host has not answered.`

interface FlowsOptions {
  readonly mesh?: true
  readonly timeout?: string
  readonly watch?: true
}

export function addFlows(program: Command): void {
  program
    .command('flows')
    .description('list the connections that this host carries now')
    .option('--mesh', 'list those of all hosts')
    .option('--timeout <time>', 'with --mesh: how long to wait for hosts that do not answer (default: 10s)')
    .addOption(watchOption().conflicts('mesh'))
    .addHelpText('after', AFTER)
    .action(async ({ mesh, timeout, watch }: FlowsOptions, command: Command) => {
      const context = contextOf(command)
      if (mesh === true) {
        await showMeshFlows(context, timeout)
        return
      }
      const load = async (signal?: AbortSignal) => {
        const { flows } = await context.agent.admin.listFlows({}, signal === undefined ? {} : { signal })
        return { flows: flows.map(flowView) }
      }
      const text = ({ flows }: Awaited<ReturnType<typeof load>>): string => flowTable(flows, Date.now())
      if (watch === true) await watched(context, load, text)
      else context.show(await load(), text)
    })
}
