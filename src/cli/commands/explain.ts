import type { Command } from 'commander'
import { apiPb } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { Exit } from '../exit.ts'
import { explanation, fields } from '../output/index.ts'

export function addExplain(program: Command): void {
  program
    .command('explain')
    .description('show why a connection works or does not; exit code 0 if it would work now, 1 if not')
    .argument('<source>', 'address or pattern')
    .argument('<destination>', 'address or pattern')
    .option('--udp', 'ask about UDP, not TCP')
    .action(async (source: string, destination: string, options: { udp?: true }, command: Command) => {
      const { agent, show } = contextOf(command)
      const protocol = options.udp === true ? apiPb.Protocol.UDP : apiPb.Protocol.TCP
      const { works, steps: found } = await agent.admin.explain({ source, destination, protocol })
      const steps = found.map(fields)
      show({ works, steps }, () => explanation(works, steps))
      if (!works) process.exitCode = Exit.Failed
    })
}
