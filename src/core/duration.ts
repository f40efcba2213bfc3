import { ErrorCode, WarrenError } from './errors.ts'

const SIZES: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const PART = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/y
/** A hundred years: a longer time is a typing error. */
const MAX_MS = 100 * 365 * 86_400_000

/** Milliseconds of `90s`, `30m`, `1h30m`, `7d`; undefined for anything else. */
export function durationMs(text: string): number | undefined {
  if (text === '' || text.length > 64) return undefined
  let total = 0
  PART.lastIndex = 0
  while (PART.lastIndex < text.length) {
    const match = PART.exec(text)
    if (match === null) return undefined
    total += Number(match[1]) * (SIZES[match[2] ?? ''] ?? Number.NaN)
  }
  return total <= MAX_MS ? Math.round(total) : undefined
}

/** As `durationMs`, at least `minMs` and at most `maxMs`. Throws INVALID_ARGUMENT that shows the right form. */
export function parseDuration(option: string, text: string, minMs: number, maxMs: number): number {
  const ms = durationMs(text)
  if (ms === undefined) {
    throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text.slice(0, 80)}" is not a length of time`, {
      hint: 'Write it as 90s, 30m, 1h30m or 7d.'
    })
  }
  if (ms < minMs || ms > maxMs) {
    throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text}" is out of range`, {
      hint: `Give ${minMs / 1_000} to ${Math.floor(maxMs / 1_000)} seconds.`
    })
  }
  return ms
}
