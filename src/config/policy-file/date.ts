import { ErrorCode, WarrenError } from '../../core/index.ts'

// With an offset, so that the same file means the same time on every host.
const ISO = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:?\d{2}))?$/

/** Wall milliseconds of an ISO date; a date alone is its begin in UTC. Throws INVALID_ARGUMENT. */
export function parseDate(text: string): number {
  const ms = ISO.test(text) ? Date.parse(text.replace(' ', 'T')) : Number.NaN
  if (!Number.isNaN(ms)) return ms
  throw new WarrenError(ErrorCode.InvalidArgument, `"${text.slice(0, 80)}" is not a date`, {
    hint: 'Write it as 2030-12-24 or 2030-12-24T18:00Z, with Z or an offset: the file is read on several hosts.'
  })
}

/** The text that `parseDate` reads as `ms`. */
export function formatDate(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}
