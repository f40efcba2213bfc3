import type { Command } from 'commander'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { waitingTable, waitingView } from '../output/index.ts'

export function addAdmit(program: Command): void {
  program
    .command('admit')
    .description('admit a host that waits, because its token or certificate needs the approval of an admin')
    .argument('[machine]', 'its name')
    .option('--list', 'list the hosts that wait at this authority')
    .option('--refuse', 'refuse the host: it ends, and its keys cannot ask again with the same proof')
    .addHelpText(
      'after',
      '\nCompare PEER with the PeerId in the log of the host, if others could have its token. A host waits for a day at most.'
    )
    .action(async (machine: string | undefined, options: { list?: true; refuse?: true }, command: Command) => {
      const { agent, show, say } = contextOf(command)
      if (options.list === true) {
        const hosts = (await agent.admin.listWaiting({})).hosts.map(waitingView)
        show({ hosts }, () => waitingTable(hosts, Date.now()))
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
