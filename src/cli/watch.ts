import { stripVTControlCharacters } from 'node:util'
import { sleep } from '../core/index.ts'
import { AwaitedAgent, isAway } from './await-agent.ts'
import type { Context } from './context.ts'
import { Exit } from './exit.ts'
import type { List } from './lists.ts'
import { jsonLine, print, printable, terminalColumns, terminalRows } from './output/index.ts'
import { endingSignals, inWords } from './signals.ts'

const EVERY_MS = 2_000
/** From the end of a stream to the next one. */
const RETRY_MS = 500
/** For the heading, the empty line below it, and the line of the cursor. */
const OTHER_LINES = 3
/** Rows of a terminal that does not say how many it has. */
const USUAL_ROWS = 24
const CLEAR = '\u001b[H\u001b[2J'

/**
 * Shows a list again and again until a signal ends it: in a terminal in place of the one before, as far as it fits; elsewhere after
 * each change, with --json a line for each.
 *
 * It fails if no agent answers at first. One that ends later is awaited.
 */
export async function watched<T>(context: Context, list: List<T>): Promise<void> {
  const { say } = context
  const { signal } = endingSignals(inWords(say))
  const pictures = new Pictures(context, list)
  try {
    pictures.take(await list.load(context.agent, { signal }))
    const agent = new AwaitedAgent(context, { wait: true, signal, instead: 'Ctrl-C ends this' })
    if (list.changes !== undefined) await followed(agent, list.changes, signal, data => pictures.take(data))
    while (!signal.aborted) {
      await sleep(EVERY_MS, signal)
      pictures.take(await agent.call(client => list.load(client, { signal })))
    }
  } catch (err) {
    if (!signal.aborted) throw err
  }
  // That of the last look says nothing about a command that was ended in order.
  process.exitCode = Exit.Ok
}

/** Takes each state that a stream brings. Never resolves; a stream that ends with its agent is opened again. */
async function followed<T>(
  agent: AwaitedAgent,
  changes: NonNullable<List<T>['changes']>,
  signal: AbortSignal,
  take: (data: T) => void
): Promise<never> {
  for (;;) {
    // The first answer says that there is an agent.
    const rest = await agent.call(client => begun(changes(client, { signal }), take))
    try {
      for await (const data of rest) take(data)
    } catch (err) {
      if (!isAway(err)) throw err
    }
    // One that ends at once must not occupy the agent.
    await sleep(RETRY_MS, signal)
  }
}

async function begun<T>(changes: AsyncIterable<T>, take: (data: T) => void): Promise<AsyncIterable<T>> {
  const iterator = changes[Symbol.asyncIterator]()
  const { done, value } = await iterator.next()
  if (done !== true) take(value)
  return { [Symbol.asyncIterator]: () => iterator }
}

/** What was shown last, and whether the next one differs. */
class Pictures<T> {
  readonly #context: Context
  readonly #list: List<T>
  #shown: string | undefined
  #noted = ''

  constructor(context: Context, list: List<T>) {
    this.#context = context
    this.#list = list
  }

  take(data: T): void {
    const { json } = this.#context
    const { text, notes, compared } = this.#list
    const isScreen = process.stdout.isTTY && !json
    const state = jsonLine(compared === undefined ? data : compared(data))
    // The ages on a screen change all the time.
    if (state === this.#shown && !isScreen) return
    this.#shown = state
    const heading = new Date().toISOString()
    const noted = notes?.(data) ?? []
    if (json) print(jsonLine(data))
    else if (isScreen) print(screen(heading, [text(data), ...noted.map(printable)].join('\n')))
    else print(`${heading}\n${text(data)}\n`)
    if (!isScreen && noted.join('\n') !== this.#noted) for (const note of noted) this.#context.say(note)
    this.#noted = noted.join('\n')
  }
}

function screen(heading: string, text: string): string {
  const columns = terminalColumns() ?? Number.POSITIVE_INFINITY
  const room = Math.max(1, (terminalRows() ?? USUAL_ROWS) - OTHER_LINES)
  const lines = text.split('\n')
  const heightOf = (line: string): number => Math.max(1, Math.ceil(stripVTControlCharacters(line).length / columns))
  let [height, fitting] = [0, 0]
  for (const line of lines) {
    height += heightOf(line)
    if (height > room) break
    fitting += 1
  }
  if (fitting === lines.length) return `${CLEAR}${heading}\n\n${text}`
  const shown = lines.slice(0, Math.max(0, fitting - 1))
  return `${CLEAR}${heading}\n\n${[...shown, `… ${lines.length - shown.length} more`].join('\n')}`
}
