/** Of figures that are there; NaN if one is not. */
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
