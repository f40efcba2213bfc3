import { ErrorCode, WarrenError } from '../core/index.ts'

/** The variables of options, read by one rule. A variable that is empty is as one that is not set. */
export interface Environment {
  readonly text: (option: string) => string | undefined
  /** For an option that may be repeated: its values are separated by commas. */
  readonly list: (option: string) => string[] | undefined
  /** For an option without a value. */
  readonly flag: (option: string) => boolean | undefined
}

const FLAGS: ReadonlyMap<string, boolean> = new Map([
  ['1', true],
  ['true', true],
  ['0', false],
  ['false', false]
])

/** The variable of an option: `WARREN_DATA_LISTEN` for `data-listen`. */
export function variableOf(option: string): string {
  return `WARREN_${option.replaceAll('-', '_').toUpperCase()}`
}

/** Reading throws INVALID_ARGUMENT, which names the variable. */
export function readEnvironment(env: NodeJS.ProcessEnv): Environment {
  const text = (option: string): string | undefined => env[variableOf(option)] || undefined
  return {
    text,
    list: option => {
      const values = text(option)
        ?.split(',')
        .map(value => value.trim())
      if (values?.includes('') === true) {
        throw new WarrenError(ErrorCode.InvalidArgument, `${variableOf(option)} has an empty value`, {
          hint: 'Separate the values with single commas.'
        })
      }
      return values
    },
    flag: option => {
      const value = text(option)
      const flag = value === undefined ? undefined : FLAGS.get(value)
      if (value !== undefined && flag === undefined) {
        throw new WarrenError(
          ErrorCode.InvalidArgument,
          `${variableOf(option)} "${value.slice(0, 80)}" is neither true nor false`,
          { hint: 'Give true (or 1) for the option, false (or 0) for its opposite.' }
        )
      }
      return flag
    }
  }
}
