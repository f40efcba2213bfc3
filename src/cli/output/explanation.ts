import type { EndVerdict, Verdict } from '../../core/index.ts'
import { printable } from './printable.ts'

/** One check of `warren explain`. */
export interface Step {
  readonly subject: string
  readonly ok: boolean
  readonly text: string
  /** What to do; empty, or missing, if nothing has to be done. */
  readonly next?: string
  /** Who was asked cannot say it. */
  readonly unknown?: boolean
}

export const VERDICTS: Readonly<Record<Verdict, string>> = {
  works: 'It works.',
  fails: 'It does not work.',
  undecided: 'It cannot be said whether it works.'
}

/** What `warren explain` prints. */
export function explanation(verdict: Verdict, steps: readonly Step[]): string {
  return `${stepLines(steps)}\n${VERDICTS[verdict]}`
}

/** A line for each check, and below it what to do. */
export function stepLines(steps: readonly Step[]): string {
  const width = Math.max(HEADING.length, ...steps.map(({ subject }) => subject.length))
  const lines = steps.flatMap(({ ok, unknown = false, subject, text, next = '' }) => {
    const sign = ok ? 'ok' : unknown ? '?' : 'NO'
    const line = `${sign.padEnd(2)}  ${printable(subject).padEnd(width)}  ${printable(text)}`.trimEnd()
    return next === '' ? [line] : [line, `${' '.repeat(width + 6)}${printable(next)}`]
  })
  return [`    ${HEADING.padEnd(width)}  FOUND`, ...lines].join('\n')
}

const HEADING = 'CHECK'

/** What one host says of a connection. */
export interface EndView extends EndVerdict {
  readonly machine: string
  readonly steps: readonly Step[]
}

const ROLES: Readonly<Record<string, string>> = {
  source: 'host of the source',
  destination: 'host of the destination',
  neither: 'host of neither end'
}

/** What each host of a connection says, under its name, and the verdict. */
export function jointExplanation(ends: readonly EndView[], verdict: Verdict): string {
  const parts = ends.map(
    ({ machine, role, steps }) => `${printable(machine)}, ${ROLES[role] ?? printable(role)}\n${stepLines(steps)}`
  )
  return [...parts, VERDICTS[verdict]].join('\n\n')
}
