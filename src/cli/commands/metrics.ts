import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { fields } from '../output/index.ts'

export function addMetrics(program: Command): void {
  program
    .command('metrics')
    .description('print the metrics of the agent, in the text format of Prometheus')
    .action(async (_options: unknown, command: Command) => {
      const { agent, show } = contextOf(command)
      const { text, samples } = await agent.admin.getMetrics({})
      show({ samples: samples.map(fields) }, () => text.trimEnd())
    })
}
