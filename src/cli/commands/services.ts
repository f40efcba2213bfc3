import { type Command, Option } from 'commander'
import { type Context, contextOf } from '../context.ts'
import { print, printJsonLine, type ServiceView, serviceTable, serviceView } from '../output/index.ts'

export function addServices(program: Command): void {
  program
    .command('services')
    .description('list the registered workloads of all hosts')
    .argument('[pattern]', 'as in dev.web.*.default or dev.{web,api}.*.*.node1')
    .addOption(new Option('--watch', 'continue: print the whole list again after every change').conflicts('all'))
    .option('--all', 'also those of hosts that were lost in the last day')
    .action(async (pattern: string | undefined, options: { watch?: true; all?: true }, command: Command) => {
      const context = contextOf(command)
      if (options.watch === true) await watch(context, pattern ?? '')
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
