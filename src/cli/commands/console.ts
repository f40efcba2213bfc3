import { createInterface } from 'node:readline'
import type { Command } from 'commander'
import { AgentClient } from '../../client/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { print, printJsonLine } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'

interface ConsoleCommandOptions {
  readonly port?: string
  readonly allowChanges?: true
}

const AFTER = `
The link opens the console in one browser, once, within 5 minutes; press Enter for another one. The port is open to programs of this host alone,
and shows nothing to those without a link. On another host: ssh -t -L 8443:127.0.0.1:8443 HOST warren console --port 8443`

export function addConsole(program: Command): void {
  program
    .command('console')
    .description('show hosts, workloads, flows and policy in a browser of this host')
    .option('--port <number>', 'port on 127.0.0.1 (default: a free one)')
    .option('--allow-changes', 'let the browser add rules, each after a dry run')
    .addHelpText('after', AFTER)
    .action(async ({ port, allowChanges }: ConsoleCommandOptions, command: Command) => {
      const { agent, json, runtimeDir, say } = contextOf(command)
      const ending = endingSignals(inWords(say))
      // Without an agent there is nothing to show.
      await agent.workload.getStatus({}, { signal: ending.signal })
      const { startConsole } = await import('../../console/index.ts')
      // Without a signer: a key in somebody's hand must not be asked each quarter of a minute.
      const asks = new AgentClient(runtimeDir === undefined ? {} : { runtimeDir })
      const server = await startConsole({
        agent,
        asks,
        port: port === undefined ? 0 : parsePort(port),
        allowsChanges: allowChanges === true,
        onOpened: () => say('a browser has opened the link')
      })
      const show = (): void => {
        const link = server.link()
        if (json) printJsonLine({ link })
        else print(link)
      }
      show()
      say('open this link in a browser, once, within 5 minutes; Ctrl-C ends the console')
      const lines = process.stdin.isTTY ? createInterface({ input: process.stdin }) : undefined
      if (lines !== undefined) say('press Enter for another link')
      lines?.on('line', show)
      await ending.asked
      lines?.close()
      await server.stop()
      await Promise.all([agent.close(), asks.close()])
    })
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port <= 65_535) return port
  throw new WarrenError(ErrorCode.InvalidOption, `--port "${text.slice(0, 80)}" is no port`, {
    hint: 'Give a number up to 65535, or leave it out for a free port.'
  })
}
