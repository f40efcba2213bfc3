import { type Command, InvalidArgumentError, Option } from 'commander'
import type { AgentClient, CallOptions } from '../../client/index.ts'
import type { apiPb } from '../../wire/index.ts'
import { type Context, contextOf } from '../context.ts'
import { type List, type ListOptions, showList, watchOption, wideOption } from '../lists.ts'
import { collect } from '../options/index.ts'
import { requireMesh } from '../options/receipts.ts'
import { type ServiceView, serviceTable, serviceView } from '../output/index.ts'
import { showMeshServices } from './services-mesh.ts'

const AFTER = `
Every host knows the registrations of all. With --mesh each host is asked for its own as it sees them now; owners also learn what keeps
one from serving. This works on the hosts of owners and observers. Exit code 3 if a host has not answered.`

interface ServicesOptions extends ListOptions {
  readonly all?: true
  readonly label?: string[]
  readonly machine?: string
  readonly limit?: number
  readonly after?: string
  readonly mesh?: true
  readonly timeout?: string
}

type Services = List<{ readonly services: readonly ServiceView[] }>

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
    .option('--all', 'also those of hosts that were lost in the last day')
    .addOption(watchOption().conflicts('limit'))
    .addOption(wideOption())
    .addOption(
      new Option('--mesh', 'ask every host for its own, and what keeps them from serving').conflicts([
        'all',
        'watch',
        'limit',
        'after',
        'label',
        'machine'
      ])
    )
    .option('--timeout <time>', 'with --mesh: how long to wait for hosts that do not answer (default: 10s)')
    .addHelpText('after', AFTER)
    .action(async (pattern: string | undefined, options: ServicesOptions, command: Command) => {
      const context = contextOf(command)
      requireMesh(options)
      const filter = { pattern: pattern ?? '', labels: labelsOf(options.label ?? []), machine: options.machine ?? '' }
      if (options.mesh === true) await showMeshServices(context, filter.pattern, options.timeout)
      else if (options.limit !== undefined || options.after !== undefined) await showPage(context, filter, options)
      else await showList(context, servicesLike(filter, options.all === true), options)
    })
}

interface Filter {
  readonly pattern: string
  readonly labels: Readonly<Record<string, string>>
  readonly machine: string
}

function servicesLike(filter: Filter, lost: boolean): Services {
  const list: Services = {
    load: async (agent, options) => ({ services: await allOf(agent, filter, lost, options) }),
    text: ({ services }) => serviceTable(services, Date.now()),
    notes: ({ services }) => (services.length === 0 ? [nothing(filter)] : [])
  }
  if (lost) return list
  return {
    ...list,
    async *changes(agent, options) {
      for await (const { services } of agent.workload.watchServices({ pattern: filter.pattern }, options)) {
        yield { services: viewsOf(services, filter) }
      }
    }
  }
}

async function allOf(agent: AgentClient, filter: Filter, lost: boolean, options: CallOptions): Promise<ServiceView[]> {
  const found: apiPb.Service[] = []
  const request = { ...filter, labels: { ...filter.labels }, ...(lost ? { lost } : { pageSize: PAGE }) }
  let pageToken = ''
  do {
    const answer = await agent.workload.listServices({ ...request, pageToken }, options)
    found.push(...answer.services)
    pageToken = answer.nextPageToken
  } while (pageToken !== '')
  return viewsOf(found, filter)
}

async function showPage(
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
