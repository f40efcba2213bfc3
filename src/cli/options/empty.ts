import type { Command } from 'commander'
import { ErrorCode, WarrenError } from '../../core/index.ts'

/** Where nothing given is without effect on a member, and refused by name on any other host: a unit may still have it. */
const MAY_BE_EMPTY: ReadonlySet<string> = new Set(['join'])

/**
 * Has every option and argument of a program refuse an empty value: it is what an unset variable of a shell is, and would
 * silently mean the default. Throws INVALID_ARGUMENT when the command line is parsed, before a value is read.
 */
export function refuseEmptyValues(command: Command): void {
  refuseEmptyOptions(command)
  // A hook of the whole program also runs for the commands below.
  command.hook('preAction', (_command, action) => {
    const name = action.registeredArguments[action.args.indexOf('')]?.name()
    if (name !== undefined) throw empty(name, 'leave it out where it may be left out')
  })
}

function refuseEmptyOptions(command: Command): void {
  for (const option of command.options) {
    if ((!option.required && !option.optional) || MAY_BE_EMPTY.has(option.name())) continue
    const parse = option.parseArg
    option.argParser((value: string, previous: unknown) => {
      if (value === '') throw empty(option.long ?? option.flags, 'leave the option out for its default')
      return parse === undefined ? value : parse(value, previous)
    })
  }
  for (const one of command.commands) refuseEmptyOptions(one)
}

function empty(what: string, otherwise: string): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, `${what} is empty`, {
    hint: `A variable of the shell may be unset; give a value, or ${otherwise}.`
  })
}
