import type { Argument, Command, Option } from 'commander'

/** What the word that is being typed may be. */
export type Place =
  /** The name of a command below `command`. */
  | { readonly kind: 'command'; readonly command: Command }
  /** An option of `command`, or one that every command takes; the line has those in `given` already. */
  | { readonly kind: 'option'; readonly command: Command; readonly given: ReadonlySet<Option> }
  /** The value of an option; `before` is what the word has before the value, as in `--tcp=`. */
  | { readonly kind: 'value'; readonly of: Option; readonly before: string; readonly typed: string }
  | { readonly kind: 'argument'; readonly of: Argument; readonly typed: string }
  | { readonly kind: 'nothing' }

export interface Situation {
  readonly place: Place
  /** The word as far as it is typed, without the quote that opens it. */
  readonly typed: string
  /** The runtime directory that the line names, for questions to its agent. */
  readonly runtimeDir: string | undefined
}

/**
 * What the last of `words` may be, after the others: the words of a line behind the name of the program, the last one as far
 * as it is typed. Pure.
 */
export function situationOf(program: Command, words: readonly string[]): Situation {
  const current = unquoted(words.at(-1) ?? '')
  let command = program
  let operands = 0
  let awaiting: Option | undefined
  let onlyOperands = false
  let runtimeDir: string | undefined
  const given = new Set<Option>()
  for (const word of words.slice(0, -1).map(unquoted)) {
    if (awaiting !== undefined) {
      if (awaiting.long === '--runtime-dir') runtimeDir = word
      awaiting = undefined
    } else if (onlyOperands || !word.startsWith('-') || word === '-') {
      const mayBeCommand = !onlyOperands && operands === 0
      const below = mayBeCommand ? find(command, word) : undefined
      // What follows `help` is the name of a command again.
      if (below === undefined && !(mayBeCommand && word === 'help' && command.commands.length > 0)) operands += 1
      command = below ?? command
    } else if (word === '--') onlyOperands = true
    else {
      const [name = '', ...rest] = word.split('=')
      const option = optionsOf(command).find(one => one.long === name || one.short === name)
      if (option !== undefined) given.add(option)
      if (option?.long === '--runtime-dir' && rest.length > 0) runtimeDir = rest.join('=')
      if (option !== undefined && takesValue(option) && rest.length === 0) awaiting = option
    }
  }
  return {
    place: placeOf({ command, operands, awaiting, onlyOperands, given, current }),
    typed: current,
    runtimeDir
  }
}

/** The options of a command and of those above it. */
export function optionsOf(command: Command): Option[] {
  const above = command.parent === null ? [] : optionsOf(command.parent)
  const help = command.createHelp().visibleOptions(command)
  return [...help, ...above.filter(one => !help.some(own => own.long === one.long))]
}

export function takesValue(option: Option): boolean {
  return option.required || option.optional
}

interface Reading {
  readonly command: Command
  readonly operands: number
  readonly awaiting: Option | undefined
  readonly onlyOperands: boolean
  readonly given: ReadonlySet<Option>
  readonly current: string
}

function placeOf({ command, operands, awaiting, onlyOperands, given, current }: Reading): Place {
  if (awaiting !== undefined) return { kind: 'value', of: awaiting, before: '', typed: current }
  if (!onlyOperands && current.startsWith('-')) {
    const [name = '', ...rest] = current.split('=')
    if (rest.length === 0) return { kind: 'option', command, given }
    const option = optionsOf(command).find(one => one.long === name && takesValue(one))
    if (option === undefined) return { kind: 'nothing' }
    return { kind: 'value', of: option, before: `${name}=`, typed: rest.join('=') }
  }
  if (command.commands.length > 0 && operands === 0) return { kind: 'command', command }
  const args = command.registeredArguments
  const last = args.at(-1)
  const of = args[operands] ?? (last?.variadic === true ? last : undefined)
  return of === undefined ? { kind: 'nothing' } : { kind: 'argument', of, typed: current }
}

function find(command: Command, name: string): Command | undefined {
  return command.commands.find(one => one.name() === name || one.aliases().includes(name))
}

/** A shell passes a word with the quote that opens it. */
function unquoted(word: string): string {
  return /^(['"])/.test(word) ? word.slice(1).replace(/['"]$/, '') : word
}
