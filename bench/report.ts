import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { type Better, best, median, medianInterval } from './statistics.ts'

/** The results of one suite: for each measure, the figures of each contender, a round each. */
export interface Report {
  readonly suite: string
  readonly machine: string
  readonly load: readonly number[]
  readonly rounds: number
  readonly measures: readonly Measured[]
  /** An SVG image. */
  readonly plot?: string
}

export interface Measured {
  readonly name: string
  readonly unit: string
  readonly better: Better
  readonly results: readonly Result[]
}

export interface Result {
  readonly contender: string
  /** Whether it is warren, and so compared with the best of those that are not. */
  readonly ours: boolean
  readonly values: readonly number[]
}

export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor'
  const memory = Math.round(totalmem() / 2 ** 30)
  return `${availableParallelism()} cores (${model}), ${memory} GiB, Linux ${release()}, Node ${process.version}`
}

export const loadNow = (): readonly number[] => loadavg().map(value => Number(value.toFixed(2)))

/**
 * How `result` compares with the best of the other programs: the ratio of the medians, and, where all rounds have both, between which
 * ratios that of a pair of rounds lies with a confidence of 95 %. Undefined if there is no other.
 */
export function ratio(measured: Measured, result: Result): string | undefined {
  const others = measured.results.filter(({ ours, values }) => !ours && Number.isFinite(median(values)))
  if (!result.ours || others.length === 0) return undefined
  const reference = best(
    others.map(({ values }) => median(values)),
    measured.better
  )
  const share = `${(median(result.values) / reference).toFixed(2)} ×`
  const other = others.find(({ values }) => median(values) === reference)?.values ?? []
  return other.length === result.values.length && other.length > 1
    ? `${share}, ${interval(result.values, other)}`
    : share
}

/** The build that `--before` or `--against` leads to, as its column is called. */
export const BEFORE = 'warren before'

/** The ratios of each round, as text: what else the machine did in a round was done to both. */
function pairedRatio(now: readonly number[], before: readonly number[]): string {
  return `now ${median(ratiosOf(now, before)).toFixed(2)} × of it, ${interval(now, before)}`
}

function interval(now: readonly number[], before: readonly number[]): string {
  const [from, to] = medianInterval(ratiosOf(now, before))
  return `${from.toFixed(2)} to ${to.toFixed(2)}`
}

function ratiosOf(now: readonly number[], before: readonly number[]): readonly number[] {
  return now.map((value, round) => value / (before[round] ?? Number.NaN))
}

/** A table in Markdown: a line for each measure, a column for each contender. */
export function markdown({ suite, machine, rounds, load, measures }: Report): string {
  const contenders = [...new Set(measures.flatMap(({ results }) => results.map(({ contender }) => contender)))]
  const lines = [
    `${suite}: medians of ${rounds} paired rounds; ${machine}; load before ${load.join(' ')}.`,
    '',
    `| measure | ${contenders.join(' | ')} |`,
    `|---|${contenders.map(() => '---:|').join('')}`
  ]
  for (const measured of measures) {
    const cells = contenders.map(name => {
      const result = measured.results.find(({ contender }) => contender === name)
      if (result === undefined || result.values.length === 0) return '–'
      const share = ratio(measured, result)
      const now = measured.results.find(({ contender }) => contender === 'warren')
      const paired = name === BEFORE && now !== undefined ? pairedRatio(now.values, result.values) : undefined
      const notes = [...(share === undefined ? [] : [share]), ...(paired === undefined ? [] : [paired])]
      return `${figure(median(result.values))}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`
    })
    const direction = measured.better === 'more' ? 'more is better' : 'less is better'
    lines.push(`| ${measured.name}, ${measured.unit}, ${direction} | ${cells.join(' | ')} |`)
  }
  return `${lines.join('\n')}\n`
}

export function figure(value: number): string {
  if (!Number.isFinite(value)) return 'failed'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })
}
