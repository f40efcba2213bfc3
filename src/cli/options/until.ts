import { durationMs, ErrorCode, WarrenError } from '../../core/index.ts'

// A date alone, or with a time; without an offset it is this host's own time zone, as Date.parse reads it.
const ISO = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:?\d{2})?)?$/

/**
 * The wall time, in milliseconds, that `text` names: a length of time from now (`30m`), or an ISO date.
 *
 * A date without a time is its end in this host's time zone: "until the 24th" includes the 24th. Throws
 * INVALID_ARGUMENT, also for a time in the past.
 */
export function parseUntil(text: string, nowMs: number): number {
  const length = durationMs(text)
  const untilMs = length === undefined ? dateMs(text) : nowMs + length
  if (Number.isNaN(untilMs)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `--until "${text.slice(0, 80)}" is not a time`, {
      hint: 'Give a length of time, as in 30m or 7d, or a date, as in 2030-12-24 or 2030-12-24T18:00Z.'
    })
  }
  if (untilMs <= nowMs) {
    throw new WarrenError(ErrorCode.InvalidArgument, `--until ${new Date(untilMs).toISOString()} is past`, {
      hint: 'Give a time in the future.'
    })
  }
  return untilMs
}

function dateMs(text: string): number {
  if (!ISO.test(text)) return Number.NaN
  return text.length === 10 ? Date.parse(`${text}T23:59:59.999`) : Date.parse(text.replace(' ', 'T'))
}
