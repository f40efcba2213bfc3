import { Argument, type Command } from 'commander'
import type { adminPb } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { fields, protocolName, table } from '../output/index.ts'

const AFTER = `
First the registered workloads, each pair evaluated as a connection would be. Then what the policy says about those that come later: a rule of
another admin, or a denial, may still refuse some of them. warren explain has every check of one pair.`
const ALL = '*.*.*.*'

export function addWhoCanReach(program: Command): void {
  program
    .command('who-can-reach')
    .description('list who may connect to a workload')
    .argument('<destination>', 'address or pattern')
    .addHelpText('after', AFTER)
    .action(async (destination: string, _options: object, command: Command) => {
      await showReach(command, ALL, destination, `nothing that is registered may connect to ${destination}`)
    })
}

export function addWhatCan(program: Command): void {
  program
    .command('what-can')
    .description('list what a workload may connect to: warren what-can SOURCE reach')
    .argument('<source>', 'address or pattern')
    .addArgument(new Argument('[reach]', 'the word reach').choices(['reach']))
    .addHelpText('after', AFTER)
    .action(async (source: string, _reach: string | undefined, _options: object, command: Command) => {
      await showReach(command, source, ALL, `${source} may connect to nothing that is registered`)
    })
}

async function showReach(command: Command, source: string, destination: string, none: string): Promise<void> {
  const { agent, show, say } = contextOf(command)
  const answer = await agent.admin.listReach({ source, destination })
  const pairs = answer.pairs.map(pair => ({ ...fields(pair), protocol: protocolName(pair.protocol) }))
  const statements = answer.statements.map(one => ({ ...fields(one), protocols: one.protocols.map(protocolName) }))
  const { cutOff } = answer
  show({ pairs, statements, cutOff }, () =>
    [
      ...(pairs.length > 0 ? [pairTable(pairs)] : []),
      ...(statements.length > 0 ? [statementTable(statements)] : [])
    ].join('\n\n')
  )
  if (pairs.length === 0) say(none)
  if (cutOff) say('there is more: give a narrower address')
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
