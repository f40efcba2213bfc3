import { type Command, Option } from 'commander'
import { parseDuration } from '../../core/index.ts'
import type { adminPb } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { requireMesh } from '../options/receipts.ts'
import { print, printJsonLine } from '../output/index.ts'
import { type RecordView, recordLine } from '../output/record-line.ts'
import { showMeshEvents } from './events-mesh.ts'

interface EventsOptions {
  readonly since?: string
  readonly follow?: true
  readonly type?: string[]
  readonly mesh?: true
  readonly timeout?: string
}

const MAX_SINCE_MS = 86_400_000

const AFTER = `
The names and their fields: docs/events.md. With --follow, --json prints a line for each event.
With --mesh every host is asked for its newest events, as many as fit. This works on the hosts of owners and observers, who get the
fields that docs/events.md has for them: no process and no user. Each host notes who has asked. Exit code 3 if a host has not answered.`

export function addEvents(program: Command): void {
  program
    .command('events')
    .description('show what happened on this host in the last day')
    .option('--since <time>', 'only what happened in this time, as in 90s, 15m or 2h')
    .option('-f, --follow', 'continue with what happens from now on')
    .addOption(
      new Option('--type <name>', 'only events of this name; may be repeated').argParser(
        (value: string, all: string[] | undefined) => [...(all ?? []), value]
      )
    )
    .addOption(new Option('--mesh', 'ask every host what happened there').conflicts('follow'))
    .option('--timeout <time>', 'with --mesh: how long to wait for hosts that do not answer (default: 10s)')
    .addHelpText('after', AFTER)
    .action(async (options: EventsOptions, command: Command) => {
      requireMesh(options)
      const { since, follow, type = [] } = options
      const { agent, json, show, say } = contextOf(command)
      const sinceMs = since === undefined ? 0 : Date.now() - parseDuration('--since', since, 1, MAX_SINCE_MS)
      if (options.mesh === true) {
        await showMeshEvents(contextOf(command), { sinceMs, names: type }, options.timeout)
        return
      }
      const request = { sinceMs: BigInt(sinceMs), follow: follow === true, names: type }
      const all: RecordView[] = []
      for await (const { events, missed } of agent.admin.watchEvents(request)) {
        if (missed > 0n) say(`${missed} events came faster than they were read, and are lost`)
        const views = events.map(viewOf)
        if (follow !== true) all.push(...views)
        else if (json) for (const view of views) printJsonLine(view)
        else for (const view of views) print(recordLine(view))
      }
      if (follow === true) return
      show({ events: all }, () => all.map(recordLine).join('\n'))
      if (all.length === 0) say('nothing that is remembered happened; docs/events.md says what is')
    })
}

function viewOf({ name, atMs, fields }: adminPb.Event): RecordView {
  return { name, at: new Date(Number(atMs)).toISOString(), fields: JSON.parse(fields) as RecordView['fields'] }
}
