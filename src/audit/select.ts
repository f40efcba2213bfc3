import { watch } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { matches, type Pattern, parseAddress } from '../identity/index.ts'
import { filesOf } from './files.ts'
import { type AuditLine, parseLine } from './line.ts'
import { linesOf } from './lines.ts'

/** The records that are wanted: those that pass every condition that is given. */
export interface Selection {
  readonly source?: Pattern | undefined
  readonly destination?: Pattern | undefined
  readonly sinceMs?: number | undefined
  readonly untilMs?: number | undefined
  /** Names of records. */
  readonly events?: readonly string[] | undefined
}

/** How often a file that is followed is looked at, where the system does not report changes. */
const LOOK_MS = 1_000

/** Whether a record is wanted. A record without a source or destination is not, if one is asked for. */
export function isSelected(line: AuditLine, { source, destination, sinceMs, untilMs, events }: Selection): boolean {
  const atMs = Date.parse(line.at)
  if (sinceMs !== undefined && atMs < sinceMs) return false
  if (untilMs !== undefined && atMs >= untilMs) return false
  if (events !== undefined && !events.includes(line.event)) return false
  return isOf(source, line.fields['source']) && isOf(destination, line.fields['destination'])
}

/** Reads the wanted records of a log, and continues where it stopped. Lines that cannot be read are left out: `verifyLog` finds them. */
export class LogReader {
  readonly #path: string
  readonly #selection: Selection
  /** The file that was read last, and the end of its last whole line. */
  #inode: number | undefined
  #offset = 0

  constructor(path: string, selection: Selection) {
    this.#path = path
    this.#selection = selection
  }

  /** What is there, oldest first. Throws INVALID_ARGUMENT if it cannot be read. */
  async *records(): AsyncGenerator<AuditLine> {
    for (const { path } of filesOf(this.#path)) {
      this.#inode = (await stat(path).catch(() => undefined))?.ino
      this.#offset = 0
      yield* this.#rest(path)
    }
  }

  /** What is written after that, also to files that are begun meanwhile, until `signal` aborts. */
  async *follow(signal: AbortSignal): AsyncGenerator<AuditLine> {
    const change = changesIn(dirname(this.#path), signal)
    while (!signal.aborted) {
      const next = change()
      yield* this.#news()
      await next
    }
  }

  /** The rest of the file that was read last, and those that were begun since. */
  async *#news(): AsyncGenerator<AuditLine> {
    const files = filesOf(this.#path)
    const inodes = await Promise.all(files.map(async ({ path }) => (await stat(path).catch(() => undefined))?.ino))
    const known = inodes.indexOf(this.#inode)
    for (const [index, { path }] of files.entries()) {
      if (index < known) continue
      if (index > known) this.#offset = 0
      this.#inode = inodes[index]
      yield* this.#rest(path)
    }
  }

  async *#rest(path: string): AsyncGenerator<AuditLine> {
    for await (const { bytes, endsAt, isWhole } of linesOf(path, this.#offset)) {
      // The rest of it comes, or it is removed by a repair.
      if (!isWhole) return
      this.#offset = endsAt
      const line = parseLine(bytes.toString())
      if (line !== undefined && isSelected(line, this.#selection)) yield line
    }
  }
}

/** Returns a function whose promise resolves at the next change in a directory, or after a second. */
function changesIn(directory: string, signal: AbortSignal): () => Promise<void> {
  let waiting: (() => void) | undefined
  const wake = (): void => {
    waiting?.()
    waiting = undefined
  }
  const watcher = watch(directory, { signal }, wake)
  watcher.on('error', () => {})
  signal.addEventListener('abort', wake, { once: true })
  return () =>
    new Promise(resolve => {
      const timer = setTimeout(resolve, LOOK_MS)
      waiting = () => {
        clearTimeout(timer)
        resolve()
      }
    })
}

function isOf(pattern: Pattern | undefined, name: unknown): boolean {
  if (pattern === undefined) return true
  if (typeof name !== 'string' || name === '') return false
  try {
    return matches(pattern, parseAddress(name))
  } catch {
    return false
  }
}
