import { editDistance } from '../../core/index.ts'

/** Letters that two names of one component may differ by. */
const MAX_LETTERS = 2
/** Components that may be misspelled at once. */
const MAX_COMPONENTS = 2
/** Addresses that are compared with one text. */
const MAX_COMPARED = 5_000

/** The address that a text is most likely a misspelling of; undefined if none is near. A text of four components is of any machine. */
export function similar(text: string, addresses: readonly string[]): string | undefined {
  const names = text.split('.')
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const address of addresses.slice(0, MAX_COMPARED)) {
    const letters = lettersBetween(names, address.split('.'))
    if (letters >= least) continue
    best = address
    least = letters
  }
  return best
}

function lettersBetween(names: readonly string[], others: readonly string[]): number {
  let [letters, components] = [0, 0]
  for (const [index, name] of names.entries()) {
    const other = others[index] ?? ''
    if (name === other || /[*{]/.test(name)) continue
    const distance = editDistance(name, other)
    // A name of two letters is not a misspelling of every other one.
    if (distance > Math.min(MAX_LETTERS, Math.max(name.length, other.length) - 1)) return Number.POSITIVE_INFINITY
    letters += distance
    components += 1
  }
  return components > MAX_COMPONENTS ? Number.POSITIVE_INFINITY : letters
}
