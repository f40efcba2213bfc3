import { table } from './table.ts'

/** One check of `warren explain`. */
export interface Step {
  readonly subject: string
  readonly ok: boolean
  readonly text: string
}

/** What `warren explain` prints. */
export function explanation(works: boolean, steps: readonly Step[]): string {
  return `${stepTable(steps)}\n${verdict(works, steps)}`
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
