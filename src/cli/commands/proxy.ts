import { chmodSync } from 'node:fs'
import type { Command } from 'commander'
import { ErrorCode, isLoopback, WarrenError } from '../../core/index.ts'
import { type Endpoint, parseEndpoint } from '../../listeners/index.ts'
import { AwaitedAgent, noWaitOption } from '../await-agent.ts'
import { contextOf } from '../context.ts'
import { callersAt, meshProxy, ownUid, sendersHere } from '../listeners/proxy/index.ts'
import {
  collect,
  keepAliveOption,
  parseKeepAlive,
  parseUid,
  type StrategyOption,
  strategyOption
} from '../options/index.ts'
import { clauseWithHint, print, printJsonLine, RateLimitedLines } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'

interface ProxyCommandOptions {
  readonly listen: string
  readonly as?: string
  readonly allowUid?: string[]
  readonly strategy: StrategyOption
  readonly keepalive: string
  readonly wait: boolean
}

export function addProxy(program: Command): void {
  program
    .command('proxy')
    .description('SOCKS5 and HTTP proxy to ADDRESS.warren, for browsers, curl and other unmodified clients')
    .option('--listen <host:port|unix:path>', 'loopback address or path for local clients', '127.0.0.1:1080')
    .option(
      '--as <address>',
      'address of the source (default: SCOPE.user.YOU.default, in the scope of each destination)'
    )
    .option('--allow-uid <uid>', 'let the programs of this user use your identity too; may be repeated', collect)
    .addOption(strategyOption())
    .addOption(keepAliveOption())
    .addOption(noWaitOption())
    .action(async (options: ProxyCommandOptions, command: Command) => {
      const endpoint = localEndpoint(options.listen)
      const others = (options.allowUid ?? []).map(parseUid)
      const keepAliveMs = parseKeepAlive(options.keepalive)
      const { strategy, as } = options
      const context = contextOf(command)
      const { json, say } = context
      const uidOf = await callersAt(endpoint.kind)
      const ending = endingSignals(inWords(say))
      const agent = new AwaitedAgent(context, { wait: options.wait, signal: ending.signal })
      // Before there is a listener: without an agent every client could only fail.
      await agent.call(one => one.workload.listServices({ pattern: '*.*.*.*' }, { signal: ending.signal }))
      const { client } = agent
      const failures = new RateLimitedLines(say)
      const proxy = meshProxy({
        client,
        as,
        strategy,
        application: 'warren proxy',
        uidOf,
        uidOfSender: await sendersHere(),
        uids: new Set([ownUid(), ...others]),
        keepAliveMs,
        onDrops: text => failures.line(text, performance.now()),
        onFailure: err => failures.line(clauseWithHint(err), performance.now())
      })
      const bound = await proxy.listen(endpoint)
      // Who connects is asked of the kernel, so that others can be let in to be asked.
      if (endpoint.kind === 'unix' && others.length > 0) chmodSync(endpoint.path, 0o666)
      const pac = endpoint.kind === 'tcp' ? `http://${bound}/proxy.pac` : undefined
      if (json) printJsonLine({ listen: bound, as, pac })
      else print(bound)
      say(`${bound} is a SOCKS5 and HTTP proxy to ADDRESS.warren, as ${as ?? 'SCOPE.user.YOU.default'}`)
      if (pac !== undefined) say(`for a browser: ${pac}`)
      await ending.asked
      proxy.close()
      await client.close()
    })
}

/** Throws INVALID_OPTION for an address that other machines could reach: nobody could say who their users are. */
function localEndpoint(text: string): Endpoint {
  const endpoint = parseEndpoint('--listen', text)
  if (endpoint.kind === 'unix' || isLoopback(endpoint.host)) return endpoint
  throw new WarrenError(ErrorCode.InvalidOption, `--listen ${text} can be reached from other machines`, {
    hint: 'The kernel says who connects on this host alone: give 127.0.0.1:PORT or unix:PATH.'
  })
}
