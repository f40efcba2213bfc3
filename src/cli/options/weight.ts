import { InvalidArgumentError, Option } from 'commander'
import { MAX_WEIGHT } from '../../core/index.ts'

/** `--weight`, the share of new connections that an instance gets. */
export function weightOption(): Option {
  return new Option(
    '--weight <number>',
    `share of new connections against other instances, 0 to ${MAX_WEIGHT}; 0: only if no other is left (default: 100)`
  ).argParser(parseWeight)
}

function parseWeight(text: string): number {
  const weight = Number(text)
  if (/^\d{1,4}$/.test(text) && weight <= MAX_WEIGHT) return weight
  throw new InvalidArgumentError(`not a whole number from 0 to ${MAX_WEIGHT}`)
}
