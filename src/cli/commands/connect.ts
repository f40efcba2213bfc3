import type { Command } from 'commander'
import { connect, defaultSource } from '../../client/index.ts'
import { contextOf } from '../context.ts'
import { relayLines } from '../listeners/datagram/index.ts'
import { relayStdio } from '../listeners/stream/relay.ts'
import { type StrategyOption, strategyOption } from '../options/index.ts'
import { withNextStep } from '../output/index.ts'

interface ConnectOptions {
  readonly as?: string
  readonly udp?: true
  readonly strategy: StrategyOption
}

export function addConnect(program: Command): void {
  program
    .command('connect')
    .description('connect standard input and output to a workload')
    .argument('<destination>', 'address or pattern')
    .option(
      '--as <address>',
      'address of the source (default: SCOPE.user.YOU.default, in the scope of the destination)'
    )
    .option('--udp', 'send each line of standard input as a datagram, and print each received datagram as a line')
    .addOption(strategyOption())
    .action(async (destination: string, options: ConnectOptions, command: Command) => {
      const { agent: client, say } = contextOf(command)
      const { strategy, as = defaultSource(destination) } = options
      const common = { client, as, strategy, application: 'warren connect' }
      const refused = (err: unknown): never => {
        throw withNextStep(err, as, destination)
      }
      if (options.udp === true) {
        const socket = await connect(destination, { ...common, protocol: 'udp' }).catch(refused)
        say(`connected to ${socket.peer.address}`)
        await relayLines(socket, process.stdin, process.stdout)
        return
      }
      const socket = await connect(destination, { ...common, explicitEnd: true }).catch(refused)
      say(`connected to ${socket.peer.address}`)
      await relayStdio(socket, process.stdin, process.stdout)
    })
}
