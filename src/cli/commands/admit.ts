import type { Command } from 'commander'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { type List, type ListOptions, showList, watchOption, wideOption } from '../lists.ts'
import { type WaitingView, waitingTable, waitingView } from '../output/index.ts'

interface AdmitOptions extends ListOptions {
  readonly list?: true
  readonly refuse?: true
}

const WAITING: List<{ readonly hosts: readonly WaitingView[] }> = {
  load: async (agent, options) => ({ hosts: (await agent.admin.listWaiting({}, options)).hosts.map(waitingView) }),
  text: ({ hosts }) => waitingTable(hosts, Date.now())
}

export function addAdmit(program: Command): void {
  program
    .command('admit')
    .description('admit a host that waits, because its token or certificate needs the approval of an admin')
    .argument('[machine]', 'its name')
    .option('--list', 'list the hosts that wait at this authority')
    .addOption(watchOption().implies({ list: true }))
    .addOption(wideOption())
    .option('--refuse', 'refuse the host: it ends, and its keys cannot ask again with the same proof')
    .addHelpText(
      'after',
      '\nCompare PEER with the PeerId in the log of the host, if others could have its token. A host waits for a day at most.'
    )
    .action(async (machine: string | undefined, options: AdmitOptions, command: Command) => {
      const context = contextOf(command)
      const { agent, show, say } = context
      if (options.list === true) {
        await showList(context, WAITING, options)
        return
      }
      if (machine === undefined) {
        throw new WarrenError(ErrorCode.InvalidArgument, 'the name of the host is missing', {
          hint: '`warren admit --list` lists the hosts that wait.'
        })
      }
      const refuse = options.refuse === true
      const { host } = await agent.admin.admit({ machine, refuse })
      const view = host === undefined ? undefined : waitingView(host)
      show({ host: view, state: refuse ? 'refused' : 'admitted' }, () => machine)
      const at = `${view?.remote ?? ''}, ${view?.peerId ?? ''}`
      say(
        refuse ? `${machine} at ${at} is refused` : `${machine} at ${at} is admitted when it asks again, within seconds`
      )
    })
}
