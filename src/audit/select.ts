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

/** The wanted records of a log, oldest first. Lines that cannot be read are left out: `verifyLog` finds them. */
export async function* recordsOf(path: string, selection: Selection): AsyncGenerator<AuditLine> {
  for (const file of filesOf(path)) yield* selected(linesOf(file.path), selection)
}

/** The wanted records from now on, until `signal` aborts; also over files that are begun meanwhile. */
export async function* followLog(path: string, selection: Selection, signal: AbortSignal): AsyncGenerator<AuditLine> {
  const first = await stat(path)
  let [inode, offset] = [first.ino, first.size]
  const change = changesIn(dirname(path), signal)
  while (!signal.aborted) {
    const next = change()
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && found.ino !== inode) {
      // What the former file got since stands in the newest full one.
      const former = filesOf(path).at(-2)
      if (former !== undefined && (await stat(former.path)).ino === inode) {
        yield* selected(linesOf(former.path, offset), selection)
      }
      ;[inode, offset] = [found.ino, 0]
    }
    if (found !== undefined && found.size > offset) {
      for await (const { bytes, endsAt, isWhole } of linesOf(path, offset)) {
        if (!isWhole) break
        offset = endsAt
        const line = parseLine(bytes.toString())
        if (line !== undefined && isSelected(line, selection)) yield line
      }
    }
    await next
  }
}

async function* selected(lines: ReturnType<typeof linesOf>, selection: Selection): AsyncGenerator<AuditLine> {
  for await (const { bytes } of lines) {
    const line = parseLine(bytes.toString())
    if (line !== undefined && isSelected(line, selection)) yield line
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
