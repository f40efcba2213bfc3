import { Argument, type Command } from 'commander'
import type { adminPb } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { fields, protocolName, table } from '../output/index.ts'

const AFTER = `
First the registered workloads, each pair evaluated as a connection would be. Then what the policy says about those that come later: a rule of
another admin, or a denial, may still refuse some of them. warren explain has every check of one pair.`
const ALL = '*.*.*.*'

export function addWhoCanReach(program: Command): void {
  const reach = program
    .command('who-can-reach')
    .description('list who may connect to a workload')
    .argument('<destination>', 'address or pattern')
    .addHelpText('after', AFTER)
  asList(reach).action(async (destination: string, options: ListOptions, command: Command) => {
    const none = `nothing that is registered may connect to ${destination}`
    await showList(contextOf(command), reachList(ALL, destination, none), options)
  })
}

export function addWhatCan(program: Command): void {
  const reach = program
    .command('what-can')
    .description('list what a workload may connect to: warren what-can SOURCE reach')
    .argument('<source>', 'address or pattern')
    .addArgument(new Argument('[reach]', 'the word reach').choices(['reach']))
    .addHelpText('after', AFTER)
  asList(reach).action(async (source: string, _reach: string | undefined, options: ListOptions, command: Command) => {
    const none = `${source} may connect to nothing that is registered`
    await showList(contextOf(command), reachList(source, ALL, none), options)
  })
}

interface Reach {
  readonly pairs: readonly Pair[]
  readonly statements: readonly Statement[]
  readonly cutOff: boolean
}

function reachList(source: string, destination: string, none: string): List<Reach> {
  return {
    load: async (agent, options) => {
      const { pairs, statements, cutOff } = await agent.admin.listReach({ source, destination }, options)
      return {
        pairs: pairs.map(pair => ({ ...fields(pair), protocol: protocolName(pair.protocol) })),
        statements: statements.map(one => ({ ...fields(one), protocols: one.protocols.map(protocolName) })),
        cutOff
      }
    },
    text: ({ pairs, statements }) =>
      [
        ...(pairs.length > 0 ? [pairTable(pairs)] : []),
        ...(statements.length > 0 ? [statementTable(statements)] : [])
      ].join('\n\n'),
    notes: ({ pairs, cutOff }) => [
      ...(pairs.length === 0 ? [none] : []),
      ...(cutOff ? ['there is more: give a narrower address'] : [])
    ]
  }
}

type Pair = Omit<adminPb.ReachedPair, '$typeName' | '$unknown' | 'protocol'> & { readonly protocol: string }
type Statement = Omit<adminPb.ReachStatement, '$typeName' | '$unknown' | 'protocols'> & {
  readonly protocols: readonly string[]
}

function pairTable(pairs: readonly Pair[]): string {
  return table(
    [
      { title: 'SOURCE', value: (pair: Pair) => pair.source },
      { title: 'DESTINATION', value: pair => pair.destination },
      { title: 'PROTOCOL', value: pair => pair.protocol },
      { title: 'ALLOWED BY', value: pair => pair.by }
    ],
    pairs
  )
}

function statementTable(statements: readonly Statement[]): string {
  return table(
    [
      { title: 'POLICY', value: (one: Statement) => `${one.effect} ${one.id}`.trimEnd() },
      { title: 'SOURCE', value: one => one.source },
      { title: 'DESTINATION', value: one => one.destination },
      { title: 'PROTOCOL', value: one => one.protocols.join(', ') || 'any' },
      { title: 'REASON', value: one => one.reason || '-' }
    ],
    statements
  )
}
