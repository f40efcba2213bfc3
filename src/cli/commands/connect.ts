import type { Command } from 'commander'
import { connect } from '../../client/index.ts'
import { contextOf } from '../context.ts'
import { relayStdio } from '../relay.ts'

export function addConnect(program: Command): void {
  program
    .command('connect')
    .description('standard input and output to and from a workload')
    .argument('<destination>', 'address or pattern')
    .option('--as <address>', 'who connects (default: SCOPE.user.YOU.default, in the scope of the destination)')
    .action(async (destination: string, options: { as?: string }, command: Command) => {
      const { agent: client, say } = contextOf(command)
      const socket = await connect(destination, { client, as: options.as, application: 'warren connect' })
      say(`connected to ${socket.peer.address}`)
      await relayStdio(socket, process.stdin, process.stdout)
    })
}
