import type { Command } from 'commander'
import { apiPb } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { Exit } from '../exit.ts'
import { explanation, fields } from '../output/index.ts'
import { explainOnMesh } from './observe.ts'

interface ExplainOptions {
  readonly udp?: true
  readonly mesh?: true
  readonly timeout?: string
}

const AFTER = `
With --mesh the hosts of both ends are asked what they see: the path from the host of the source, and the server at the destination. This
works on the founding host. Each host notes who has asked.`

export function addExplain(program: Command): void {
  program
    .command('explain')
    .description('show why a connection works or does not; exit code 0 if it would work now, 1 if not')
    .argument('<source>', 'address or pattern')
    .argument('<destination>', 'address or pattern')
    .option('--udp', 'ask about UDP, not TCP')
    .option('--mesh', 'ask the hosts of the source and the destination')
    .option('--timeout <time>', 'with --mesh: how long to wait for hosts that do not answer (default: 10s)')
    .addHelpText('after', AFTER)
    .action(async (source: string, destination: string, options: ExplainOptions, command: Command) => {
      const context = contextOf(command)
      const { agent, show } = context
      const protocol = options.udp === true ? apiPb.Protocol.UDP : apiPb.Protocol.TCP
      if (options.mesh === true) {
        await explainOnMesh(context, { source, destination, protocol }, options.timeout)
        return
      }
      const { works, steps: found } = await agent.admin.explain({ source, destination, protocol })
      const steps = found.map(fields)
      show({ works, steps }, () => explanation(works, steps))
      if (!works) process.exitCode = Exit.Failed
    })
}
