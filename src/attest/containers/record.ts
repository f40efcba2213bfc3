import { parsed, textOf } from './json.ts'
import { readOwned } from './owned-file.ts'

/** Some hundred containers or images. What users write costs the agent the time to read it. */
const MAX_BYTES = 1024 * 1024
const MAX_ROOT_BYTES = 32 * 1024 * 1024
/** What a user wrote is read in another thread beyond this: 64 KiB that are made for it take 11 ms, and 1 MiB 180 ms. */
const MAX_HERE_BYTES = 64 * 1024
/** What root's runtime wrote was not made to be slow. */
const MAX_ROOT_HERE_BYTES = 1024 * 1024
/** Longest description of one container or image. */
const MAX_RECORD_LENGTH = 64 * 1024
/** A thread needs some hundredths of a second, on a busy host some tenths. One look-up may need five of them. */
const MAX_THREAD_MS = 500
const MAX_THREAD_HEAP_MB = 64
/** Nobody made root's lists to be slow, but they may be long, and small values take twenty times the memory of their text. */
const MAX_ROOT_THREAD_MS = 2_000
const MAX_ROOT_THREAD_HEAP_MB = 512

// It answers with text, which is bounded: as a value, what it found could take as long here.
const SCRIPT = `
const { parentPort, workerData: { text, id, max } } = require('node:worker_threads')
let json
try {
  const all = JSON.parse(text)
  if (Array.isArray(all)) json = JSON.stringify(all.find(one => one !== null && typeof one === 'object' && one.id === id))
} catch {}
parentPort.postMessage(json !== undefined && json.length <= max ? json : '')
`

/**
 * The record with this id in a list, in a file as `readOwned` accepts it; undefined if there is none.
 *
 * However the file is made, it keeps the agent from its other work for some milliseconds at most.
 */
export async function readRecord(path: string, uid: number, id: string): Promise<unknown> {
  const [most, here] = uid === 0 ? [MAX_ROOT_BYTES, MAX_ROOT_HERE_BYTES] : [MAX_BYTES, MAX_HERE_BYTES]
  const text = await readOwned(path, uid, most)
  if (text === undefined) return undefined
  if (text.length > here) return parsed(await findInThread(text, id, uid === 0 ? OF_ROOT : OF_USERS))
  const all = parsed(text)
  return Array.isArray(all) ? all.find(one => textOf(one, 'id') === id) : undefined
}

const OF_USERS = { limitMs: MAX_THREAD_MS, maxOldGenerationSizeMb: MAX_THREAD_HEAP_MB }
const OF_ROOT = { limitMs: MAX_ROOT_THREAD_MS, maxOldGenerationSizeMb: MAX_ROOT_THREAD_HEAP_MB }

async function findInThread(
  text: string,
  id: string,
  { limitMs, maxOldGenerationSizeMb }: typeof OF_USERS
): Promise<string> {
  const { Worker } = await import('node:worker_threads')
  const { promise, resolve } = Promise.withResolvers<string>()
  const worker = new Worker(SCRIPT, {
    eval: true,
    workerData: { text, id, max: MAX_RECORD_LENGTH },
    // Nothing of this process is for it.
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb }
  })
  const late = setTimeout(() => resolve(''), limitMs)
  worker.once('message', found => resolve(String(found)))
  worker.once('error', () => resolve(''))
  worker.once('exit', () => resolve(''))
  try {
    return await promise
  } finally {
    clearTimeout(late)
    await worker.terminate()
  }
}
