import { stderrLines, visibleJson } from '../../core/index.ts'
import { Exit } from '../exit.ts'
import { hasLostOutput, losesOutput, meaningOfBrokenPipe, noteClosedStdout } from './closed-stdout.ts'
import { printable } from './printable.ts'

/** How long the last words wait for a reader that takes none, in milliseconds. */
const LAST_LINES_MS = 1_000

/** One document for a program to read: indented, for it is as often read by a person who is writing that program. */
export function printJson(value: unknown): void {
  print(visibleJson(JSON.stringify(value, plain, 2)))
}

/** One line of a stream of documents. */
export function printJsonLine(value: unknown): void {
  print(jsonLine(value))
}

/** A document on one line. */
export function jsonLine(value: unknown): string {
  return visibleJson(JSON.stringify(value, plain))
}

/** Data, on standard output. */
export function print(text: string): void {
  if (!losesOutput()) process.stdout.write(`${text}\n`)
}

/** Words for a person, on standard error, on one line. */
export function say(text: string): void {
  sayRaw(`warren: ${printable(text)}\n`)
}

/** Lines of words as they are, on standard error. A reader that stands still holds nothing up. */
export function sayRaw(text: string): void {
  stderrLines().write(text)
}

/**
 * Ends the process when nobody reads what it prints. A reader that has ended, as `head` does, has what it wanted: that is no failure,
 * unless `whenReaderEnds` says otherwise.
 *
 * A reader of standard error that went away is no reason to stop.
 */
export function guardOutput(): void {
  noteClosedStdout()
  process.stdout.on('error', (err: NodeJS.ErrnoException) => {
    const meaning = err.code === 'EPIPE' ? meaningOfBrokenPipe() : 'failed'
    if (meaning === 'ignored') return
    if (meaning === 'done') process.exit(process.exitCode)
    const why = err.code === 'EPIPE' ? 'its reader has ended before the end of the file' : (err.code ?? err.message)
    say(`cannot write to standard output: ${why}`)
    process.exit(Exit.Failed)
  })
  process.stderr.on('error', () => {})
}

/** Ends the process once what was printed has left it; handles still open (standard input, say) do not keep it. */
export async function leave(code: number): Promise<never> {
  const isLost = code === Exit.Ok && hasLostOutput()
  if (isLost) say('cannot write to standard output: it is closed')
  await stderrLines().flush(LAST_LINES_MS)
  // Data waits for its reader, words do not.
  await new Promise<void>(resolve => {
    process.stdout.write('', () => resolve())
  })
  process.exit(isLost ? Exit.Failed : code)
}

// Protobuf's 64-bit counters and times all fit a double; JSON has no other number. Its own fields are nobody's data, however deep.
function plain(key: string, value: unknown): unknown {
  if (key === '$typeName' || key === '$unknown') return undefined
  return typeof value === 'bigint' ? Number(value) : value
}
