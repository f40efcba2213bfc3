import { type Command, Option } from 'commander'
import { parseDuration } from '../../core/index.ts'
import type { adminPb } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { print, printJsonLine } from '../output/index.ts'
import { type RecordView, recordLine } from '../output/record-line.ts'

interface EventsOptions {
  readonly since?: string
  readonly follow?: true
  readonly type?: string[]
}

const MAX_SINCE_MS = 86_400_000

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
    .addHelpText(
      'after',
      '\nThe names and their fields: docs/events.md. With --follow, --json prints a line for each event.'
    )
    .action(async ({ since, follow, type = [] }: EventsOptions, command: Command) => {
      const { agent, json, show, say } = contextOf(command)
      const sinceMs = since === undefined ? 0 : Date.now() - parseDuration('--since', since, 1, MAX_SINCE_MS)
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
