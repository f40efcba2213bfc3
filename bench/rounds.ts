import type { Measured, Result } from './report.ts'
import type { Better } from './statistics.ts'

/** One or more figures that one run of a contender gives. */
export interface Measure<Contender> {
  readonly figures: readonly Figure[]
  /** A figure that this contender does not have is left out. */
  readonly run: (contender: Contender) => Promise<Readonly<Record<string, number>>>
}

export interface Figure {
  /** Its name in what `run` resolves with. */
  readonly key: string
  readonly name: string
  readonly unit: string
  readonly better: Better
}

export interface Named {
  readonly name: string
  readonly ours: boolean
}

/**
 * Measures all contenders in turn, round by round, so that what else the machine does hits all alike. The first round
 * warms up and is not counted. Progress goes to `say`.
 */
export async function inTurns<Contender extends Named>(
  contenders: readonly Contender[],
  measures: readonly Measure<Contender>[],
  rounds: number,
  say: (line: string) => void
): Promise<readonly Measured[]> {
  const measured: Measured[] = []
  for (const { figures, run } of measures) {
    const values = new Map<string, number[]>()
    for (let round = 0; round <= rounds; round += 1) {
      say(`${figures[0]?.name}: ${round === 0 ? 'warming up' : `round ${round} of ${rounds}`}`)
      for (const contender of contenders) {
        const result = await run(contender).catch((err: Error) => failed(contender, err, figures, say))
        if (round === 0) continue
        for (const { key } of figures) {
          const id = `${contender.name}\n${key}`
          const value = result[key]
          if (value !== undefined) values.set(id, [...(values.get(id) ?? []), value])
        }
      }
    }
    for (const { key, name, unit, better } of figures) {
      const results: Result[] = contenders.map(contender => ({
        contender: contender.name,
        ours: contender.ours,
        values: values.get(`${contender.name}\n${key}`) ?? []
      }))
      measured.push({ name, unit, better, results })
    }
  }
  return measured
}

// A failure of another program is a result; a failure of warren is a bug.
function failed(
  { name, ours }: Named,
  err: Error,
  figures: readonly Figure[],
  say: (line: string) => void
): Readonly<Record<string, number>> {
  if (ours) throw err
  say(`${name} failed: ${err.message}`)
  return Object.fromEntries(figures.map(({ key }) => [key, Number.NaN]))
}
