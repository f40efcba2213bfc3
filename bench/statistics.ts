/** The median of existing figures; NaN if one is missing. */
export function median(values: readonly number[]): number {
  if (values.some(Number.isNaN)) return Number.NaN
  const sorted = values.toSorted((one, other) => one - other)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** Whether more or less of it is better. */
export type Better = 'more' | 'less'

export function best(values: readonly number[], better: Better): number {
  return better === 'more' ? Math.max(...values) : Math.min(...values)
}

/** The smallest of `values` that so many hundredths of them do not exceed. */
export function percentile(values: readonly number[], hundredths: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.max(0, Math.ceil((sorted.length * hundredths) / 100) - 1)] ?? Number.NaN
}

/**
 * Between which two of `values` the median of all that could have been measured lies, with a confidence of 95 %: by ranks,
 * so that nothing is supposed of how they are spread. Fewer than six cannot say so much; it is all of them then.
 */
export function medianInterval(values: readonly number[]): readonly [number, number] {
  const sorted = values.toSorted((one, other) => one - other)
  // How likely at most `below` of them are smaller than that median, as coins fall.
  let chance = 0.5 ** sorted.length
  let sum = chance
  let below = 0
  while (2 * (sum + (chance * (sorted.length - below)) / (below + 1)) <= 0.05) {
    chance *= (sorted.length - below) / (below + 1)
    sum += chance
    below += 1
  }
  return [sorted[below] ?? Number.NaN, sorted[sorted.length - 1 - below] ?? Number.NaN]
}
