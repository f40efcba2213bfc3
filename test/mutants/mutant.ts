/** A mistake that somebody could make, planted to see that the tests find it. */
export interface Mutant {
  /** The promise that it breaks, in one sentence: its name, too. */
  readonly breaks: string
  /** From the top of the checkout. */
  readonly file: string
  /** Occurs exactly once in the file, on one line. */
  readonly find: string
  readonly replace: string
  /** The test files that are to find it, from the top of the checkout; they run in this order until one does. */
  readonly tests: readonly string[]
  /** Something waits for what never comes: a test that is not over in time has found it as well. */
  readonly hangs?: true
}

/** The text of a file with the mistake in it. Throws if the list has rotted: what is to be replaced must occur exactly once. */
export function planted(source: string, { file, find, replace, breaks }: Mutant): string {
  const parts = source.split(find)
  const [before, after] = parts
  if (before === undefined || after === undefined || parts.length !== 2) {
    throw new Error(`the list of mutants has rotted: ${parts.length - 1} × "${find}" in ${file} (${breaks})`)
  }
  if (find === replace || find.includes('\n')) throw new Error(`not a mutant: ${breaks}`)
  return `${before}${replace}${after}`
}

/** The number of the line that the mutant changes. */
export function lineOf(source: string, { find }: Mutant): number {
  return source.slice(0, source.indexOf(find)).split('\n').length
}
