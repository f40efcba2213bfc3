import { BACKOFF_MAX_MS, BACKOFF_MIN_MS } from '../limits.ts'

/**
 * How long to wait before the next dial, in milliseconds: 250 ms, doubled by each failure up to 10 s, of which a random
 * half is taken off, so that hosts that lost each other at one moment do not return at one moment.
 *
 * `random` is in 0…1.
 */
export function backoffMs(failures: number, random: number): number {
  const full = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(failures, 16))
  return full * (0.5 + random / 2)
}
