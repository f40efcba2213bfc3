import { type Command, Option } from 'commander'
import { type Context, contextOf } from '../context.ts'
import { requireMesh } from '../options/receipts.ts'
import { print, printJsonLine, type ServiceView, serviceTable, serviceView } from '../output/index.ts'
import { showMeshServices } from './services-mesh.ts'

const AFTER = `
Every host knows the registrations of all. With --mesh each host is asked for its own as it sees them now; owners also learn what keeps
one from serving. This works on the hosts of owners and observers. Exit code 3 if a host has not answered.`

interface ServicesOptions {
  readonly watch?: true
  readonly all?: true
  readonly mesh?: true
  readonly timeout?: string
}

export function addServices(program: Command): void {
  program
    .command('services')
    .description('list the registered workloads of all hosts')
    .argument('[pattern]', 'as in dev.web.*.default or dev.{web,api}.*.*.node1')
    .addOption(new Option('--watch', 'continue: print the whole list again after every change').conflicts('all'))
    .option('--all', 'also those of hosts that were lost in the last day')
    .addOption(
      new Option('--mesh', 'ask every host for its own, and what keeps them from serving').conflicts(['all', 'watch'])
    )
    .option('--timeout <time>', 'with --mesh: how long to wait for hosts that do not answer (default: 10s)')
    .addHelpText('after', AFTER)
    .action(async (pattern: string | undefined, options: ServicesOptions, command: Command) => {
      const context = contextOf(command)
      requireMesh(options)
      if (options.mesh === true) await showMeshServices(context, pattern ?? '', options.timeout)
      else if (options.watch === true) await watch(context, pattern ?? '')
      else await list(context, pattern ?? '', options.all === true)
    })
}

async function list({ agent, show, say }: Context, pattern: string, lost: boolean): Promise<void> {
  const services = (await agent.workload.listServices({ pattern, lost })).services.map(serviceView)
  show({ services }, () => serviceTable(services, Date.now()))
  if (services.length === 0)
    say(
      pattern === ''
        ? 'nothing is registered; --all also shows what lost hosts had'
        : `nothing registered matches ${pattern}`
    )
}

async function watch({ agent, json }: Context, pattern: string): Promise<void> {
  for await (const answer of agent.workload.watchServices({ pattern })) {
    const services = answer.services.map(serviceView)
    if (json) printJsonLine({ services })
    else print(`${heading(services)}\n${serviceTable(services, Date.now())}\n`)
  }
}

function heading(services: readonly ServiceView[]): string {
  return `${new Date().toISOString()}  ${services.length} registered`
}
