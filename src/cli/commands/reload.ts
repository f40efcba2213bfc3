import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { fields } from '../output/index.ts'

const AFTER = `
The agent reads warren.yaml and conf.d/*.yaml beside it, and checks everything first: if something is wrong, nothing changes. What
differs is ended and begun; everything else stays, with its connections.`

interface Tally {
  readonly added: number
  readonly removed: number
  readonly changed: number
  readonly unchanged: number
}

const NOTHING: Tally = { added: 0, removed: 0, changed: 0, unchanged: 0 }

export function addReload(program: Command): void {
  program
    .command('reload')
    .description('let the agent read its configuration files anew')
    .addHelpText('after', AFTER)
    .action(async (_options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { services, forwards, needRestart } = await agent.admin.reload({})
      const answer = {
        services: services === undefined ? NOTHING : fields(services),
        forwards: forwards === undefined ? NOTHING : fields(forwards),
        needRestart
      }
      show(answer, () => [`services: ${inWords(answer.services)}`, `forwards: ${inWords(answer.forwards)}`].join('\n'))
      if (needRestart.length > 0) say(`needs a restart of the agent to take effect: ${needRestart.join(', ')}`)
      const { waitingItems } = await agent.workload.getStatus({})
      if (waitingItems.length > 0) say(`${waitingItems.length} of them do not run yet: warren status says why`)
    })
}

function inWords({ added, removed, changed, unchanged }: Tally): string {
  return `${added} added, ${removed} removed, ${changed} changed, ${unchanged} unchanged`
}
