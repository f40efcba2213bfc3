import { ErrorCode, WarrenError } from '../../core/index.ts'

/** Limits from `NAME=NUMBER` texts; the agent checks the names. Throws INVALID_OPTION. */
export function parseLimits(texts: readonly string[], option = '--limit'): Record<string, number> {
  return Object.fromEntries(
    texts.map(text => {
      const [, name, value] = /^([a-z_]+)=(\d{1,9})$/.exec(text) ?? []
      if (name === undefined || value === undefined) {
        throw new WarrenError(ErrorCode.InvalidOption, `${option} "${text.slice(0, 80)}" is not NAME=NUMBER`, {
          hint: 'Write it as --limit proxy_flows=50000.'
        })
      }
      return [name, Number(value)]
    })
  )
}
