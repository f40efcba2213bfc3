import type { Command } from 'commander'
import { connect, defaultSource } from '../../client/index.ts'
import { parseEndpoint } from '../../listeners/index.ts'
import { AwaitedAgent, noWaitOption } from '../await-agent.ts'
import { contextOf } from '../context.ts'
import { OwnDatagrams } from '../listeners/datagram/index.ts'
import { type OwnListener, openListener, passListener } from '../listeners/handover/index.ts'
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

const APPLICATION = 'warren forward'

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
      const protocol = options.udp === true ? 'udp' : 'tcp'
      const shared = { client, as, strategy, application: APPLICATION }
      const own: OwnListener =
        protocol === 'udp'
          ? new OwnDatagrams({
              open: signal => connect(destination, { ...shared, protocol: 'udp', signal }),
              ...life,
              onFailure,
              onDrops: say
            })
          : new StreamForwarder({
              open: (_client, signal) => connect(destination, { ...shared, signal, explicitEnd: true }),
              keepAliveMs,
              onFailure
            })
      const route = {
        source: as,
        destination,
        protocol,
        strategy,
        keepAliveMs,
        ...life,
        application: APPLICATION
      } as const
      const listener = await openListener(endpoint, protocol, {
        own,
        pass: (calls, descriptors, signal) =>
          passListener({ client, calls, descriptors, route, onFailure, onDrops: say }, signal),
        say
      })
      announce(listener.bound)
      await ending.asked
      await listener.close()
      await client.close()
    })
}
