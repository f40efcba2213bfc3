import { type Clock, raceAbort, within } from '../../core/index.ts'
import type { Inquiry } from './questions.ts'

export interface CollectOptions<T> {
  readonly inquiry: Inquiry
  /** Returns what is new since the last look, and whether nothing more is waited for. */
  readonly look: (time: CollectTime) => { readonly news: T | undefined; readonly isLast: boolean }
  /** Resolves when another look may find something. */
  readonly changed: () => Promise<void>
  readonly timeoutMs: number
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly signal: AbortSignal
}

/** Time of a look. */
export interface CollectTime {
  /** Nobody is waited for any longer. */
  readonly isOver: boolean
  /** Suspects are not waited for any longer: they were asked, and had time to answer. */
  readonly isGraceOver: boolean
}

/** A busy host is suspected now and then, and answers nevertheless. */
const SUSPECT_GRACE_MS = 2_000
/** Time before a host that has not answered is asked again, in milliseconds: after the first three times. */
const ASK_AGAIN_MS = [1_000, 1_500, 2_500]
const LAST_ASK_AGAIN_MS = 4_000

/** Asks until all have answered or the time is over, and yields what is new as it comes. Closes the inquiry. */
export async function* collect<T>(options: CollectOptions<T>): AsyncGenerator<T> {
  const { inquiry, look, changed, timeoutMs, clock, signal } = options
  const fromMs = clock.monotonicMs()
  const endMs = fromMs + timeoutMs
  try {
    for (let askAtMs = fromMs, asks = 0; ; ) {
      // Before the look: what changes while a value is taken must not be missed.
      const change = changed()
      const now = clock.monotonicMs()
      const { news, isLast } = look({ isOver: now >= endMs, isGraceOver: now >= fromMs + SUSPECT_GRACE_MS })
      if (news !== undefined) yield news
      if (isLast || now >= endMs) return
      if (now >= askAtMs) {
        inquiry.ask()
        askAtMs = now + (ASK_AGAIN_MS[asks] ?? LAST_ASK_AGAIN_MS)
        asks += 1
      }
      const waitMs = Math.max(1, Math.min(askAtMs, endMs) - clock.monotonicMs())
      await within(waitMs, [signal], limit => raceAbort(change, limit)).catch(() => {})
      signal.throwIfAborted()
    }
  } finally {
    inquiry.close()
  }
}
