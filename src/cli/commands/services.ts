import { type Command, InvalidArgumentError, Option } from 'commander'
import type { apiPb } from '../../wire/index.ts'
import { type Context, contextOf } from '../context.ts'
import { collect } from '../options/index.ts'
import { print, printJsonLine, type ServiceView, serviceTable, serviceView } from '../output/index.ts'

interface ServicesOptions {
  readonly watch?: true
  readonly all?: true
  readonly label?: string[]
  readonly machine?: string
  readonly limit?: number
  readonly after?: string
}

/** As many as one answer of the agent should have: it does nothing else meanwhile. */
const PAGE = 5_000
const MAX_LIMIT = 10_000

export function addServices(program: Command): void {
  program
    .command('services')
    .description('list the registered workloads of all hosts')
    .argument('[pattern]', 'as in dev.web.*.default or dev.{web,api}.*.*.node1')
    .option(
      '--label <key=value>',
      'only those with this label; KEY alone: whatever its value; may be repeated',
      collect
    )
    .option('--machine <machine>', 'only those of this host')
    .addOption(new Option('--limit <number>', 'the first so many, by address').argParser(parseLimit).conflicts('all'))
    .addOption(new Option('--after <text>', 'continue after what --limit has shown last').conflicts(['all', 'watch']))
    .addOption(
      new Option('--watch', 'continue: print the whole list again after every change').conflicts(['all', 'limit'])
    )
    .option('--all', 'also those of hosts that were lost in the last day')
    .action(async (pattern: string | undefined, options: ServicesOptions, command: Command) => {
      const context = contextOf(command)
      const filter = { pattern: pattern ?? '', labels: labelsOf(options.label ?? []), machine: options.machine ?? '' }
      if (options.watch === true) await watch(context, filter)
      else if (options.limit !== undefined || options.after !== undefined) await listPage(context, filter, options)
      else await list(context, filter, options.all === true)
    })
}

interface Filter {
  readonly pattern: string
  readonly labels: Readonly<Record<string, string>>
  readonly machine: string
}

async function list({ agent, show, say }: Context, filter: Filter, lost: boolean): Promise<void> {
  const found: apiPb.Service[] = []
  const request = { ...filter, labels: { ...filter.labels }, ...(lost ? { lost } : { pageSize: PAGE }) }
  let pageToken = ''
  do {
    const answer = await agent.workload.listServices({ ...request, pageToken })
    found.push(...answer.services)
    pageToken = answer.nextPageToken
  } while (pageToken !== '')
  const services = viewsOf(found, filter)
  show({ services }, () => serviceTable(services, Date.now()))
  if (services.length === 0) say(nothing(filter))
}

async function listPage(
  { agent, show, say }: Context,
  filter: Filter,
  { limit = MAX_LIMIT, after = '' }: ServicesOptions
): Promise<void> {
  const request = { ...filter, labels: { ...filter.labels }, pageSize: limit, pageToken: after }
  const { services: found, nextPageToken, total } = await agent.workload.listServices(request)
  const services = viewsOf(found, filter)
  show({ services, total, after: nextPageToken }, () => serviceTable(services, Date.now()))
  if (services.length === 0) say(nothing(filter))
  if (nextPageToken !== '') say(`${services.length} of ${total}; the next ones: --after ${nextPageToken}`)
}

async function watch({ agent, json }: Context, filter: Filter): Promise<void> {
  for await (const answer of agent.workload.watchServices({ pattern: filter.pattern })) {
    const services = viewsOf(answer.services, filter)
    if (json) printJsonLine({ services })
    else print(`${heading(services)}\n${serviceTable(services, Date.now())}\n`)
  }
}

// An older agent, and one that watches, knows the pattern only.
function viewsOf(services: readonly apiPb.Service[], { labels, machine }: Filter): ServiceView[] {
  const wanted = Object.entries(labels)
  return services
    .filter(service => machine === '' || service.machine === machine)
    .filter(service =>
      wanted.every(([name, value]) => Object.hasOwn(service.labels, name) && ['', service.labels[name]].includes(value))
    )
    .map(serviceView)
}

function nothing({ pattern, labels, machine }: Filter): string {
  const isFiltered = Object.keys(labels).length > 0 || machine !== ''
  if (isFiltered) return 'nothing registered has all of that'
  return pattern === ''
    ? 'nothing is registered; --all also shows what lost hosts had'
    : `nothing registered matches ${pattern}`
}

function labelsOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map(text => {
      const at = text.indexOf('=')
      return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
    })
  )
}

function parseLimit(text: string): number {
  const limit = Number(text)
  if (/^\d{1,5}$/.test(text) && limit >= 1 && limit <= MAX_LIMIT) return limit
  throw new InvalidArgumentError(`not a whole number from 1 to ${MAX_LIMIT}`)
}

function heading(services: readonly ServiceView[]): string {
  return `${new Date().toISOString()}  ${services.length} registered`
}
