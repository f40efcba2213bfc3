import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { type ServiceView, serviceTable, serviceView } from '../output/index.ts'

interface ServicesOptions extends ListOptions {
  readonly all?: true
}

type Services = List<{ readonly services: readonly ServiceView[] }>

export function addServices(program: Command): void {
  const services = program
    .command('services')
    .description('list the registered workloads of all hosts')
    .argument('[pattern]', 'as in dev.web.*.default or dev.{web,api}.*.*.node1')
    .option('--all', 'also those of hosts that were lost in the last day')
  asList(services).action(async (pattern: string | undefined, options: ServicesOptions, command: Command) => {
    await showList(contextOf(command), servicesLike(pattern ?? '', options.all === true), options)
  })
}

function servicesLike(pattern: string, lost: boolean): Services {
  const list: Services = {
    load: async (agent, options) => {
      const { services } = await agent.workload.listServices({ pattern, lost }, options)
      return { services: services.map(serviceView) }
    },
    text: ({ services }) => serviceTable(services, Date.now()),
    notes: ({ services }) => {
      if (services.length > 0) return []
      if (pattern !== '') return [`nothing registered matches ${pattern}`]
      return ['nothing is registered; --all also shows what lost hosts had']
    }
  }
  if (lost) return list
  return {
    ...list,
    async *changes(agent, options) {
      for await (const { services } of agent.workload.watchServices({ pattern }, options)) {
        yield { services: services.map(serviceView) }
      }
    }
  }
}
