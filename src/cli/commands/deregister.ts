import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { parseWait, readSecret, replicationText, waitOption } from '../options/index.ts'
import { fields } from '../output/index.ts'

export function addDeregister(program: Command): void {
  program
    .command('deregister')
    .description('end a registration: on this host at once, then on all hosts')
    .argument('<token>', 'the token that register printed, @FILE that contains it, or - for standard input')
    .addOption(waitOption())
    .action(async (text: string, options: { wait: string }, command: Command) => {
      const token = await readSecret('TOKEN', text)
      const { agent, show, say } = contextOf(command)
      const { replication } = await agent.workload.deregister({ token, wait: parseWait(options.wait) })
      show({ result: 'OK', replication: replication === undefined ? undefined : fields(replication) }, () => 'OK')
      say(replicationText('removed from', replication))
    })
}
