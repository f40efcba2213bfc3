import type { Command } from 'commander'
import { connect, defaultSource } from '../../client/index.ts'
import { bindUdp, bindUnix, DatagramForwarder, parseEndpoint } from '../../listeners/index.ts'
import { AwaitedAgent, noWaitOption } from '../await-agent.ts'
import { contextOf } from '../context.ts'
import { StreamForwarder } from '../listeners/stream/forwarder.ts'
import {
  keepAliveOption,
  type PresetName,
  parseClientLife,
  parseKeepAlive,
  presetOption,
  type StrategyOption,
  strategyOption
} from '../options/index.ts'
import { clauseWithHint, print, printJsonLine, RateLimitedLines, withNextStep } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'

interface ForwardOptions {
  readonly listen: string
  readonly as?: string
  readonly udp?: true
  readonly idleTimeout?: string
  readonly preset?: PresetName
  readonly strategy: StrategyOption
  readonly keepalive: string
  readonly wait: boolean
}

export function addForward(program: Command): void {
  program
    .command('forward')
    .description('open a local listener that leads to a workload, for an unmodified client')
    .argument('<destination>', 'address or pattern')
    .requiredOption(
      '--listen <host:port|unix:path>',
      'address for local clients; port 0 picks a free one. Every user who can connect there uses your identity'
    )
    .option(
      '--as <address>',
      'address of the source (default: SCOPE.user.YOU.default, in the scope of the destination)'
    )
    .option('--udp', 'forward datagrams, with one flow for each local sender; unix:PATH is then a SOCK_DGRAM socket')
    .option(
      '--idle-timeout <time>',
      'with --udp: time without a datagram after which a sender is forgotten, 2m at most (default: 2m)'
    )
    .addOption(presetOption())
    .addOption(strategyOption())
    .addOption(keepAliveOption())
    .addOption(noWaitOption())
    .action(async (destination: string, options: ForwardOptions, command: Command) => {
      const endpoint = parseEndpoint('--listen', options.listen)
      const { strategy } = options
      const life = parseClientLife(options)
      const keepAliveMs = parseKeepAlive(options.keepalive)
      const as = options.as ?? defaultSource(destination)
      const context = contextOf(command)
      const { json, say } = context
      const ending = endingSignals(inWords(say))
      const agent = new AwaitedAgent(context, { wait: options.wait, signal: ending.signal })
      // Before there is a listener: without an agent, or with a malformed destination, every client could only fail.
      const { services } = await agent.call(one =>
        one.workload.listServices({ pattern: destination }, { signal: ending.signal })
      )
      const { client } = agent
      const failures = new RateLimitedLines(say)
      const announce = (bound: string): void => {
        if (json) printJsonLine({ listen: bound, destination, as })
        else print(bound)
        say(`${bound} leads to ${destination}, as ${as}`)
        if (services.length === 0)
          say(`nothing registered matches ${destination} yet; clients are disconnected until something does`)
      }
      const onFailure = (err: unknown): void =>
        failures.line(clauseWithHint(withNextStep(err, as, destination)), performance.now())
      if (options.udp === true) {
        const local =
          endpoint.kind === 'tcp' ? await bindUdp(endpoint, onFailure) : await bindUnix(endpoint.path, { onFailure })
        const forwarder = new DatagramForwarder(local, {
          open: signal =>
            connect(destination, { client, as, strategy, protocol: 'udp', signal, application: 'warren forward' }),
          ...life,
          onFailure,
          onDrops: say
        })
        announce(local.bound)
        await ending.asked
        await forwarder.close()
        await client.close()
        return
      }
      const forwarder = new StreamForwarder({
        open: (_client, signal) =>
          connect(destination, { client, as, strategy, signal, explicitEnd: true, application: 'warren forward' }),
        keepAliveMs,
        onFailure
      })
      announce(await forwarder.listen(endpoint))
      await ending.asked
      forwarder.close()
      await client.close()
    })
}
