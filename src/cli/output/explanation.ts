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

export type Verdict = 'works' | 'fails' | 'undecided'

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

/** The verdict of one host. `undecided` is missing from agents of before it. */
export function verdictOf({
  works,
  undecided = false
}: {
  readonly works: boolean
  readonly undecided?: boolean
}): Verdict {
  if (works) return 'works'
  return undecided ? 'undecided' : 'fails'
}

/** What one host says of a connection. */
export interface EndView {
  readonly machine: string
  /** "source", "destination" or "neither". */
  readonly role: string
  readonly works: boolean
  readonly undecided: boolean
  readonly steps: readonly Step[]
}

/** The verdict over the hosts of both ends. The host of a source that also has the destination speaks for both. */
export function jointVerdict(ends: readonly EndView[]): Verdict {
  const of = (role: string): EndView[] => ends.filter(end => end.role === role)
  const [sources, destinations] = [of('source'), of('destination')]
  if (sources.length + destinations.length === 0) return best(of('neither'))
  const source = best(sources)
  // The path is for the host of the source to try.
  const isWrong = destinations.length > 0 && destinations.every(({ works, undecided }) => !works && !undecided)
  if ((sources.length > 0 && source === 'fails') || isWrong) return 'fails'
  if (sources.length === 0) return 'undecided'
  return source
}

function best(ends: readonly EndView[]): Verdict {
  const verdicts = ends.map(verdictOf)
  return (
    verdicts.find(one => one === 'works') ?? verdicts.find(one => one === 'undecided') ?? verdicts[0] ?? 'undecided'
  )
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
