import { readFileSync } from 'node:fs'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { Clock, Logger } from '../../core/index.ts'
import type { Allocator } from './allocator.ts'
import { lookEverySeconds } from './looks.ts'

/** Less than this is kept: it would be needed again soon. */
const WORTH_BYTES = 24 * 1024 * 1024
/** More than these bytes between two looks, and the memory is in use. */
const QUIET_BYTES = 1024 * 1024
/** So many looks may find flows that move; then memory is given back gently, while they do. */
const PATIENT_LOOKS = 12
/** How long the loop stands still for one slice. */
const SLICE_MS = 6
const GENTLE_SLICE_MS = 2
/** How long the loop runs before the next. */
const PAUSE_MS = 30
/** What is claimed, largest first: the free pieces between used ones are of any size. */
const PIECES_BYTES = [1024, 256, 64, 32, 16, 12].map(kib => kib * 1024)
/** What `malloc_trim` gives back in few enough milliseconds. */
const TRIMMED_BYTES = 8 * 1024 * 1024
const GENTLY_TRIMMED_BYTES = 2 * 1024 * 1024
/** A slice that gave back less than this part of what it claimed has met memory that was not present. */
const WORTHWHILE = 1 / 4

export interface GiveBackOptions {
  readonly allocator: Allocator
  /** Bytes that all flows have carried. */
  readonly movedBytes: () => number
  readonly log: Logger
  readonly clock: Clock
  readonly signal: AbortSignal
  /** @default those of this process */
  readonly memory?: () => MemoryUse
}

export interface MemoryUse {
  readonly residentBytes: number
  /** What the program uses of it. */
  readonly usedBytes: number
}

/**
 * Gives memory back that the C library keeps after buffers have been freed.
 *
 * glibc keeps all that lies below the highest piece in use: 1.4 GB stayed resident after flows had stalled and ended.
 * Its own `malloc_trim` gives it back at once, and took 900 ms for a gigabyte, in which no flow moves. So the free memory
 * is claimed piece by piece, and its pages are made absent, a few milliseconds at a time; `malloc_trim` then has little
 * left to do.
 *
 * It waits for a time in which no flow moves. Where there is none for a minute, it works once in smaller steps: a host whose
 * flows never rest kept 60 MiB for half an hour.
 */
export class GiveBack {
  readonly #options: GiveBackOptions
  readonly #memory: () => MemoryUse
  /** What neither the program uses nor can be given back: the code, stacks and pieces between others. */
  #floorBytes: number | undefined
  #movedBytes = 0
  #longestMs = 0
  /** Looks in a row that found memory to give back, and flows that move. */
  #busyLooks = 0

  constructor(options: GiveBackOptions) {
    this.#options = options
    this.#memory = options.memory ?? memoryOfProcess
  }

  /** Looks every few seconds, until the signal. Never rejects. */
  async run(): Promise<void> {
    const { signal, log } = this.#options
    await lookEverySeconds(() => this.look(), { log, signal, failure: 'free memory was not given back' })
  }

  /** Gives memory back if that is worth it, and no flow moves or flows have moved for long. */
  async look(): Promise<void> {
    const kept = this.#keptBytes()
    this.#floorBytes = Math.min(this.#floorBytes ?? kept, kept)
    if (kept - this.#floorBytes < WORTH_BYTES) {
      this.#busyLooks = 0
      return
    }
    const moved = this.#options.movedBytes()
    const isQuiet = moved - this.#movedBytes < QUIET_BYTES
    this.#movedBytes = moved
    this.#busyLooks = isQuiet ? 0 : this.#busyLooks + 1
    if (!isQuiet && this.#busyLooks < PATIENT_LOOKS) return
    this.#busyLooks = 0
    const { log, clock } = this.#options
    const startedMs = clock.monotonicMs()
    this.#longestMs = 0
    const longestMs = await this.#giveBack(isQuiet ? QUIETLY : GENTLY)
    const left = this.#keptBytes()
    this.#floorBytes = left
    const durationMs = Math.round(clock.monotonicMs() - startedMs)
    const reason = `${mebibytes(kept - left)} MiB, the loop stood still for at most ${Math.ceil(longestMs)} ms`
    log.debug('gave free memory back', { reason, durationMs })
  }

  #keptBytes(): number {
    const { residentBytes, usedBytes } = this.#memory()
    return residentBytes - usedBytes
  }

  /** Returns the longest time for which the loop stood still, in milliseconds. */
  async #giveBack({ sliceMs, trimmedBytes, isRepeated }: Manner): Promise<number> {
    const { allocator } = this.#options
    for (;;) {
      const before = this.#keptBytes()
      await this.#round(sliceMs)
      const left = this.#keptBytes()
      if (left - (this.#floorBytes ?? 0) < trimmedBytes) this.#timed(() => allocator.trim())
      // Pages at the ends of pieces may be in the middle of pieces in another round.
      else if (isRepeated && before - left >= trimmedBytes && !this.#options.signal.aborted) continue
      return this.#longestMs
    }
  }

  async #round(sliceMs: number): Promise<void> {
    const { allocator, signal } = this.#options
    const claims: number[] = []
    try {
      for (const bytes of PIECES_BYTES) {
        for (let isWorthwhile = true; isWorthwhile && !signal.aborted; ) {
          isWorthwhile = this.#timed(() => this.#slice(bytes, claims, sliceMs))
          await pause(PAUSE_MS, undefined, { ref: false })
        }
      }
    } finally {
      while (claims.length > 0) {
        this.#timed(() => {
          for (const claim of claims.splice(-CLAIMS_FREED_AT_ONCE)) allocator.free(claim)
        })
        await nextTurn()
      }
    }
  }

  #timed<T>(step: () => T): T {
    const { clock } = this.#options
    const beganMs = clock.monotonicMs()
    const result = step()
    this.#longestMs = Math.max(this.#longestMs, clock.monotonicMs() - beganMs)
    return result
  }

  #slice(bytes: number, claims: number[], sliceMs: number): boolean {
    const { allocator, clock } = this.#options
    const before = this.#memory().residentBytes
    const untilMs = clock.monotonicMs() + sliceMs
    let claimed = 0
    do {
      const address = allocator.claim(bytes)
      if (address === 0) return false
      claims.push(address)
      claimed += bytes
    } while (clock.monotonicMs() < untilMs && claimed < MOST_AT_ONCE_BYTES)
    return before - this.#memory().residentBytes >= claimed * WORTHWHILE
  }
}

/** How memory is given back. */
interface Manner {
  readonly sliceMs: number
  readonly trimmedBytes: number
  /** Whether another round follows one that brought much. Flows that move take memory again meanwhile: it would not end. */
  readonly isRepeated: boolean
}

const QUIETLY: Manner = { sliceMs: SLICE_MS, trimmedBytes: TRIMMED_BYTES, isRepeated: true }
const GENTLY: Manner = { sliceMs: GENTLE_SLICE_MS, trimmedBytes: GENTLY_TRIMMED_BYTES, isRepeated: false }
const CLAIMS_FREED_AT_ONCE = 4_096
/** A slice that meets memory which is not present would not end by the time. */
const MOST_AT_ONCE_BYTES = 32 * 1024 * 1024

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024)
}

function memoryOfProcess(): MemoryUse {
  const { rss, heapTotal, external } = process.memoryUsage()
  return { residentBytes: ownBytes() ?? rss, usedBytes: heapTotal + external }
}

/** Resident memory that is not that of files: pages of code come and go, see `Rest`. Undefined where the system does not say. */
export function ownBytes(): number | undefined {
  try {
    const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]
    return kib === undefined ? undefined : Number(kib) * 1024
  } catch {
    return undefined
  }
}
