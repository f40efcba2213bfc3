import type { Command } from 'commander'
import { apiPb } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { Exit } from '../exit.ts'
import { fields, table } from '../output/index.ts'

export function addExplain(program: Command): void {
  program
    .command('explain')
    .description('show why a connection works or does not; exit code 0 if it would work now, 1 if not')
    .argument('<source>', 'address or pattern')
    .argument('<destination>', 'address or pattern')
    .option('--udp', 'ask about UDP, not TCP')
    .action(async (source: string, destination: string, options: { udp?: true }, command: Command) => {
      const { agent, show } = contextOf(command)
      const protocol = options.udp === true ? apiPb.Protocol.UDP : apiPb.Protocol.TCP
      const { works, steps: found } = await agent.admin.explain({ source, destination, protocol })
      const steps = found.map(fields)
      show({ works, steps }, () => `${stepTable(steps)}\n${verdict(works, steps)}`)
      if (!works) process.exitCode = Exit.Failed
    })
}

interface Step {
  readonly subject: string
  readonly ok: boolean
  readonly text: string
}

/** A client registers its address when it connects, so a missing source alone is not a fault. */
function verdict(works: boolean, steps: readonly Step[]): string {
  if (works) return 'It works.'
  const failed = new Set(steps.filter(({ ok }) => !ok).map(({ subject }) => subject))
  if (failed.size === 1 && failed.has('source')) {
    return 'It does not work yet: the source must be registered; warren connect and warren forward do that, see --as.'
  }
  return 'It does not work.'
}

function stepTable(steps: readonly Step[]): string {
  return table(
    [
      { title: '', value: (step: Step) => (step.ok ? 'ok' : 'NO') },
      { title: 'CHECK', value: step => step.subject },
      { title: 'FOUND', value: step => step.text }
    ],
    steps
  )
}
