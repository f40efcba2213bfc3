import { InvalidArgumentError, Option } from 'commander'

const MAX_CONNECTS = 1_000_000

/** `--max-connects`: how many connections may be opened to an address in a second. */
export function maxConnectsOption(): Option {
  return new Option(
    '--max-connects <number>',
    'connections that may be opened to it in a second, and at once; further ones are refused'
  ).argParser(text => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number >= 1 && number <= MAX_CONNECTS) return number
    throw new InvalidArgumentError(`not a whole number from 1 to ${MAX_CONNECTS}`)
  })
}
