import type { AgentClient } from '../../client/index.ts'
import { ErrorCode, sleep, WarrenError } from '../../core/index.ts'
import { AwaitedAgent, isAway } from '../await-agent.ts'
import type { Context } from '../context.ts'
import { clauseWithHint, jsonLine, print, printable, sizeIn, terminalColumns, terminalRows } from '../output/index.ts'
import { layoutNow } from '../output/layout.ts'
import { type Frame, type FrameOptions, frameOf, GROUPS, type Group, ORDERS, type Order } from './frame.ts'
import { type Look, look } from './look.ts'
import { picture } from './picture.ts'
import { Screen } from './screen.ts'

export interface TopOptions extends FrameOptions {
  readonly intervalMs: number
  /** Frames after which it ends. @default it does not */
  readonly count: number
  /** Most rows of a frame that is not on a screen. */
  readonly rows: number
  readonly signal: AbortSignal
}

/** Of a terminal that does not know its size. */
const USUAL = { columns: 80, rows: 24 }
/** Before the first picture. */
const FIRST_MS = 500
const CTRL_C = '\u0003'

/** Prints a frame after each interval: text, or a line of JSON. */
export async function printFrames(context: Context, options: TopOptions): Promise<void> {
  const { intervalMs, count, signal } = options
  let before = await look(context.agent, { signal })
  const agent = new AwaitedAgent(context, { wait: true, signal, instead: 'Ctrl-C ends this' })
  for (let frames = 0; frames < count; frames += 1) {
    await sleep(intervalMs, signal)
    const now = await agent.call(client => look(client, { signal }))
    const frame = frameOf(before, now, options)
    print(context.json ? jsonLine(limited(frame, options.rows)) : pageOf(frame, options.rows))
    before = now
  }
}

/** Fills the terminal with a frame after each interval, until a key or a signal ends it. Returns the last one. */
export async function showFrames(context: Context, options: TopOptions): Promise<Frame> {
  const { intervalMs, signal } = options
  const first = await look(context.agent, { signal })
  // Nobody waits for long, and there are no rates before.
  await sleep(Math.min(intervalMs, FIRST_MS), signal)
  const live = new Live(context.agent, [first, await look(context.agent, { signal })], options)
  await live.run()
  return live.frame
}

/** A frame as text that stays. */
export function pageOf(frame: Frame, rows: number): string {
  const columns = terminalColumns() ?? sizeIn(process.env['COLUMNS'])
  const lines = sizeIn(process.env['LINES'])
  const layout = { ...layoutNow(), columns }
  const all = picture({ ...frame, rows: frame.rows.slice(0, rows) }, { layout, rows: lines })
  const left = frame.rows.length - rows
  return left > 0 && lines === undefined ? `${all}\n… ${left} more` : all
}

function limited(frame: Frame, rows: number) {
  return { ...frame, rowsTotal: frame.rows.length, rows: frame.rows.slice(0, rows) }
}

class Live {
  readonly #agent: AgentClient
  readonly #options: TopOptions
  readonly #ended = new AbortController()
  /** The two looks that are shown. */
  #shown: readonly [before: Look, now: Look]
  #by: Group
  #order: Order
  #isPaused = false
  #problem = ''
  #screen: Screen | undefined

  constructor(agent: AgentClient, shown: readonly [Look, Look], options: TopOptions) {
    this.#agent = agent
    this.#options = options
    this.#shown = shown
    this.#by = options.by
    this.#order = options.order
  }

  get frame(): Frame {
    return frameOf(...this.#shown, { by: this.#by, order: this.#order })
  }

  async run(): Promise<void> {
    const { signal } = this.#options
    const end = (): void => this.#ended.abort()
    signal.addEventListener('abort', end, { once: true })
    this.#screen = new Screen({ onKey: key => this.#press(key), onResize: () => this.#draw() })
    try {
      this.#draw()
      await this.#follow()
    } catch (err) {
      if (!this.#ended.signal.aborted) throw err
    } finally {
      signal.removeEventListener('abort', end)
      this.#screen.close()
    }
  }

  async #follow(): Promise<void> {
    const { intervalMs, count } = this.#options
    const { signal } = this.#ended
    let [, last] = this.#shown
    for (let frames = 1; frames < count; ) {
      await sleep(intervalMs, signal)
      try {
        const now = await look(this.#agent, { signal })
        this.#problem = ''
        if (!this.#isPaused) this.#shown = [last, now]
        last = now
        frames += 1
      } catch (err) {
        // It may be back in a moment, and what it carried last is worth seeing meanwhile.
        if (!(isAway(err) || WarrenError.is(err, ErrorCode.Timeout))) throw err
        this.#problem = clauseWithHint(err)
      }
      this.#draw()
    }
  }

  #press(key: string): void {
    if (key === 'q' || key === CTRL_C) this.#ended.abort()
    else if (key === ' ') this.#isPaused = !this.#isPaused
    else if (key === 's') this.#order = after(ORDERS, this.#order)
    else if (key === 'g') this.#by = after(GROUPS, this.#by)
    else return
    this.#draw()
  }

  #draw(): void {
    const columns = terminalColumns() ?? USUAL.columns
    const rows = terminalRows() ?? USUAL.rows
    const footer =
      this.#problem === ''
        ? `q quit   s sort: ${this.#order}   g group: ${this.#by}   space ${this.#isPaused ? 'PAUSED' : 'pause'}`
        : printable(`NO ANSWER: ${this.#problem}`)
    this.#screen?.draw(picture(this.frame, { rows, layout: { ...layoutNow(), columns }, footer }))
  }
}

function after<T>(all: readonly T[], one: T): T {
  return all[(all.indexOf(one) + 1) % all.length] ?? one
}
