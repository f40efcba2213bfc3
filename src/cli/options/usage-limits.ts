import { type Command, InvalidArgumentError, Option } from 'commander'

export const MAX_CONNECTS = 1_000_000
const MIN_RATE = 1_000
export const MAX_RATE = 4_000_000_000

/** The values of the options below. */
export interface UsageLimitOptions {
  readonly maxConnects?: number
  readonly maxRate?: number
}

/** Adds `--max-connects` and `--max-rate`. `whose` names what is limited, as the end of a sentence. */
export function addUsageLimits(command: Command, whose: string): Command {
  return command
    .addOption(
      new Option(
        '--max-connects <number>',
        `connections that may be opened ${whose} in a second, and at once; further ones wait up to 1.5 s, each source in turn, and are then refused`
      ).argParser(parseConnects)
    )
    .addOption(
      new Option(
        '--max-rate <bytes>',
        `bytes that connections ${whose} may carry in a second, both directions together: 500k, 10M, 1G`
      ).argParser(parseRate)
    )
}

/** The options as the fields of a message; zero: no limit. */
export function usageLimitFields({ maxConnects = 0, maxRate = 0 }: UsageLimitOptions): {
  maxConnects: number
  maxRate: number
} {
  return { maxConnects, maxRate }
}

function parseConnects(text: string): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && number >= 1 && number <= MAX_CONNECTS) return number
  throw new InvalidArgumentError(`not a whole number from 1 to ${MAX_CONNECTS}`)
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9 }

function parseRate(text: string): number {
  const [, number, unit = ''] = /^(\d{1,10}(?:\.\d{1,3})?)([kMG]?)B?$/.exec(text) ?? []
  const bytes = Math.round(Number(number) * (UNITS[unit] ?? Number.NaN))
  if (bytes >= MIN_RATE && bytes <= MAX_RATE) return bytes
  throw new InvalidArgumentError('not a number of bytes from 1k to 4G, as in 10M')
}
