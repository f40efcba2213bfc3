const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000]
] as const

/** A length of time for people, in its two largest units: `1d 2h`, `59m 3s`, `412ms`. */
export function formatDuration(ms: number): string {
  if (Math.abs(ms) < 1_000) return `${Math.round(ms)}ms`
  const sign = ms < 0 ? '-' : ''
  let rest = Math.abs(ms)
  const parts: string[] = []
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0) parts.push(`${count}${unit}`)
    // A gap ends it: `1d 3s` would claim a precision that nobody reads.
    if (parts.length === 2 || (parts.length === 1 && count === 0)) break
  }
  return sign + parts.join(' ')
}

/** How long ago `thenMs` was, or `-` if it was never. */
export function formatAge(thenMs: number, nowMs: number): string {
  return thenMs <= 0 ? '-' : formatDuration(Math.max(0, nowMs - thenMs))
}

/** A point in time and its distance from now. */
export function formatWhen(thenMs: number, nowMs: number): string {
  if (thenMs <= 0) return '-'
  const left = thenMs - nowMs
  const distance = left >= 0 ? `in ${formatDuration(left)}` : `${formatDuration(-left)} ago`
  return `${new Date(thenMs).toISOString()} (${distance})`
}

/** A count of bytes for people: `512 B`, `1.4 MB`, in powers of 1,000. */
export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`
  const units = ['kB', 'MB', 'GB', 'TB', 'PB']
  let value = bytes
  let unit = 'B'
  for (const next of units) {
    if (value < 999.95) break
    value /= 1_000
    unit = next
  }
  return `${value.toFixed(1)} ${unit}`
}
