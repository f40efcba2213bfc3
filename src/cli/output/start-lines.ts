import { RateLimitedLines } from './rate-limit.ts'

/** As StartProgress of the agent, which only `up` loads. */
type Progress = Parameters<NonNullable<import('../../agent/index.ts').StartOptions['onProgress']>>[0]

/** A start that takes no longer has nothing to show, in milliseconds. */
const QUICK_MS = 500
const MAX_WAITING_LINES = 5
const MAX_ADDRESSES = 4
const MAX_PRINTED = 100

/** Prints what a start waits for and why, once it takes longer than a person would notice; each line once. */
export class StartLines {
  readonly #lines: RateLimitedLines
  readonly #printed = new Set<string>()
  readonly #timer: NodeJS.Timeout
  #waiting: string[] | undefined = []

  constructor(say: (text: string) => void) {
    this.#lines = new RateLimitedLines(say)
    this.#timer = setTimeout(() => this.#flush(), QUICK_MS)
  }

  note(progress: Progress): void {
    const text = textOf(progress)
    if (this.#waiting === undefined) this.#print(text)
    else this.#waiting = [...this.#waiting, text].slice(-MAX_WAITING_LINES)
  }

  /** The start is over, in one way or the other. */
  end(): void {
    clearTimeout(this.#timer)
    this.#waiting = []
  }

  #flush(): void {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    for (const text of waiting) this.#print(text)
  }

  #print(text: string): void {
    if (this.#printed.has(text) || this.#printed.size >= MAX_PRINTED) return
    this.#printed.add(text)
    this.#lines.line(text, performance.now())
  }
}

function textOf({ waitsFor, addresses, machine, problem }: Progress): string {
  const shown = addresses.slice(0, MAX_ADDRESSES).join(', ')
  const where = addresses.length > MAX_ADDRESSES ? `${shown} and ${addresses.length - MAX_ADDRESSES} more` : shown
  const who = machine ?? where
  switch (waitsFor) {
    case 'authority':
      return problem === undefined
        ? `joining: dialling the authority at ${where}`
        : `joining: no authority at ${where}: ${problem}`
    case 'member':
      return problem === undefined
        ? `not ready: dialling members of the mesh: ${where}`
        : `not ready: no connection to ${who}: ${problem}`
    case 'approval':
      return `joining: ${problem ?? 'waiting to be admitted'}`
    default:
      return `not ready: connected to ${who}; waiting for its registry and policy`
  }
}
