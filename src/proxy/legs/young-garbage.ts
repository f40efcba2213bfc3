import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const BYTES_BETWEEN = 16 * 1024 * 1024
/**
 * Growth of heap and buffers between two markings of the whole heap, while bytes pass. By default V8 allows an agent a
 * tenth after some idle seconds, which is less than one flow has in transit: it then marked without end. Measured with
 * 512 MB through one flow, three seconds apart: 1,365 to 2,288 ms of each agent's processor time, with 60 % 436 to 641,
 * with 150 % 434 to 657, and not more memory.
 */
const GROWTH_PERCENT = 150
/** V8's own choice returns this long after the last 16 MiB, and with it a smaller heap. */
const REST_MS = 5_000

type Collector = (options: { readonly type: 'minor' | 'major' }) => void

/**
 * Collects the young generation only: about half a millisecond, for any size of the remaining heap. Undefined until
 * `collectYoungGarbage`: the flags of V8 belong to the program, and an agent may be a part of one.
 */
let collect: Collector | undefined
let bytesSince = 0
let resting: NodeJS.Timeout | undefined

/** Enables `countYoungGarbage` for as long as the process runs. Sets flags of V8. */
export function collectYoungGarbage(): void {
  collect ??= exposedCollector()
}

/**
 * Collects the whole heap: tens of milliseconds, in which nothing else happens. Returns false, and does nothing, before
 * `collectYoungGarbage`.
 */
export function collectAllGarbage(): boolean {
  collect?.({ type: 'major' })
  return collect !== undefined
}

/**
 * Counts bytes that were read, are handed on and will be garbage a moment later.
 *
 * V8 does not count the buffers outside its heap when it decides to collect the young generation, only when it decides
 * to mark the whole heap, and it did that several times a second. Measured with 400 MB through one flow: the agent that
 * reads them from a unix socket spent 1,640 to 2,110 ms of processor time, half of it marking; with this 750 to 930 ms.
 * While it is called, the heap has more room.
 */
export function countYoungGarbage(bytes: number): void {
  if (collect === undefined) return
  bytesSince += bytes
  if (bytesSince < BYTES_BETWEEN) return
  bytesSince = 0
  collect({ type: 'minor' })
  allowGrowth()
}

function allowGrowth(): void {
  if (resting !== undefined) {
    resting.refresh()
    return
  }
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`)
  resting = setTimeout(() => {
    resting = undefined
    setFlagsFromString('--heap-growing-percent=0')
  }, REST_MS).unref()
}

// V8 provides the function only to contexts that are made while the flag is set.
function exposedCollector(): Collector {
  setFlagsFromString('--expose-gc')
  const collector: unknown = runInNewContext('globalThis.gc')
  setFlagsFromString('--no-expose-gc')
  return typeof collector === 'function' ? options => void collector(options) : () => {}
}
