import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { flowTable, flowView } from '../output/index.ts'
import { watched, watchOption } from '../watch.ts'

export function addFlows(program: Command): void {
  program
    .command('flows')
    .description('list the connections that this host carries now')
    .addOption(watchOption())
    .action(async (options: { watch?: true }, command: Command) => {
      const context = contextOf(command)
      const load = async (signal?: AbortSignal) => {
        const { flows } = await context.agent.admin.listFlows({}, signal === undefined ? {} : { signal })
        return { flows: flows.map(flowView) }
      }
      const text = ({ flows }: Awaited<ReturnType<typeof load>>): string => flowTable(flows, Date.now())
      if (options.watch === true) await watched(context, load, text)
      else context.show(await load(), text)
    })
}
