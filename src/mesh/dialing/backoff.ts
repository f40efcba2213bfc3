import { BACKOFF_MAX_MS, BACKOFF_MIN_MS } from '../limits.ts'

/**
 * How long to wait before the next dial, in milliseconds: 250 ms, doubled by each failure up to 10 s, minus a random
 * part of up to a half, so that hosts that lost each other at the same moment do not return at the same moment.
 *
 * `random` is in 0…1.
 */
export function backoffMs(failures: number, random: number): number {
  const full = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(failures, 16))
  return full * (0.5 + random / 2)
}
