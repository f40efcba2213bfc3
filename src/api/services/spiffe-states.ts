import { ErrorCode, raceAbort, sleep, WarrenError } from '../../core/index.ts'
import type { Caller } from '../caller.ts'

// A watcher of a busy mesh gets whole states, not one per change.
const PAUSE_MS = 100
// setTimeout fires at once for more than 2^31 ms.
const MAX_WAIT_MS = 3_600_000

/** What a watcher gets. */
export interface State<M> {
  readonly message: () => M
  /** Equal for equal states. */
  readonly key: string
  /** Wall time at which it must be made again even if nothing changed. */
  readonly renewAtMs?: number
}

export interface StateTimes {
  /** Resolves at the next change of registrations, roots or hosts. */
  readonly changed: () => Promise<void>
  readonly nowMs: () => number
}

/** The whole state, at once and after each change; ends with an error when the caller has no right to it any more. */
export async function* states<M>(
  { share }: Pick<Caller, 'share'>,
  signal: AbortSignal,
  { changed, nowMs }: StateTimes,
  make: () => Promise<State<M>>
): AsyncGenerator<M> {
  let shown: string | undefined
  while (!signal.aborted) {
    const change = changed()
    const state = await unlessEnded(make)
    if (state !== undefined && state.key !== shown) {
      shown = state.key
      yield state.message()
    }
    await changeOrTime(change, untilRenewal(state, nowMs), signal)
    await sleep(PAUSE_MS, signal)
    await share.turn(signal)
  }
}

/** How long a state may stay, in milliseconds. */
export function untilRenewal(state: { readonly renewAtMs?: number } | undefined, nowMs: () => number): number {
  return Math.max(PAUSE_MS, (state?.renewAtMs ?? Number.POSITIVE_INFINITY) - nowMs())
}

/** Resolves at a change, or after `ms` milliseconds. */
export async function changeOrTime(change: Promise<unknown>, ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const done = (): void => resolve()
  const timer = setTimeout(done, Math.min(MAX_WAIT_MS, ms))
  change.then(done, done)
  try {
    await raceAbort(promise, signal)
  } finally {
    clearTimeout(timer)
  }
}

/** Undefined if a registration ended while the certificates were made: the change that says so is there already. */
export async function unlessEnded<T>(make: () => Promise<T>): Promise<T | undefined> {
  try {
    return await make()
  } catch (err) {
    if (err instanceof WarrenError && err.code === ErrorCode.InvalidSource) return undefined
    throw err
  }
}
