import { Option } from 'commander'
import { sleep } from '../core/index.ts'
import type { Context } from './context.ts'
import { print, printJsonLine } from './output/index.ts'
import { endingSignals, inWords } from './signals.ts'

const EVERY_MS = 2_000
/** For the heading, the empty line below it, and the line of the cursor. */
const OTHER_LINES = 3
const CLEAR = '\u001b[H\u001b[2J'

export function watchOption(): Option {
  return new Option('--watch', 'continue: show the list again every 2 seconds')
}

/**
 * Shows a list again and again until a signal ends it: in a terminal in place of the one before, as far as it fits; with --json a
 * line for each.
 */
export async function watched<T>(
  { json, say }: Context,
  load: (signal: AbortSignal) => Promise<T>,
  human: (data: T) => string
): Promise<void> {
  const { signal } = endingSignals(inWords(say))
  while (!signal.aborted) {
    try {
      const data = await load(signal)
      if (json) printJsonLine(data)
      else print(picture(human(data)))
      await sleep(EVERY_MS, signal)
    } catch (err) {
      if (!signal.aborted) throw err
    }
  }
}

function picture(text: string): string {
  const heading = new Date().toISOString()
  if (!process.stdout.isTTY) return `${heading}\n${text}\n`
  const lines = text.split('\n')
  const room = Math.max(1, process.stdout.rows - OTHER_LINES)
  const left = lines.length - room
  const shown = left > 0 ? [...lines.slice(0, room - 1), `… ${left + 1} more`] : lines
  return `${CLEAR}${heading}\n\n${shown.join('\n')}`
}
