import { type Command, Option } from 'commander'
import type { AgentClient, CallOptions } from '../client/index.ts'
import type { Context } from './context.ts'
import { watched } from './watch.ts'

/** What a command lists, and how it is shown. */
export interface List<T> {
  /** Reads it once. */
  readonly load: (agent: AgentClient, options: CallOptions) => Promise<T>
  /** The same after each change. @default it is read every 2 seconds */
  readonly changes?: (agent: AgentClient, options: CallOptions) => AsyncIterable<T>
  /** Its tables; empty if there is nothing to show. */
  readonly text: (data: T) => string
  /** What a person should know besides. @default nothing */
  readonly notes?: (data: T) => readonly string[]
  /** What changes of `data` are about, without what only moves with time. @default all of it */
  readonly compared?: (data: T) => unknown
}

/** The options of `asList`. */
export interface ListOptions {
  readonly watch?: true
}

/** The options that every list has: --watch and --wide. */
export function asList(command: Command): Command {
  return command.addOption(watchOption()).addOption(wideOption())
}

/** The option alone, for a list that cannot be watched in each of its forms. */
export function watchOption(): Option {
  return new Option('--watch', 'continue: show the list again after each change, until a signal ends it')
}

export function wideOption(): Option {
  return new Option('--wide', 'show every column in full, also beyond the width of the terminal')
}

/** Shows a list once, or with --watch again and again. */
export async function showList<T>(context: Context, list: List<T>, { watch }: ListOptions): Promise<void> {
  if (watch === true) {
    await watched(context, list)
    return
  }
  const data = await list.load(context.agent, {})
  context.show(data, list.text)
  for (const note of list.notes?.(data) ?? []) context.say(note)
}
