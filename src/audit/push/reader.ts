import { stat } from 'node:fs/promises'
import { filesOf } from '../files.ts'
import { type AuditLine, type ChainEnd, EMPTY_CHAIN, hashOf, parseLine } from '../line.ts'
import { linesOf } from '../lines.ts'

/** A line as it is in the file, and what it says. */
export interface PushedLine {
  readonly text: string
  readonly line: AuditLine
}

/** A place behind a line of the log. Without a file, it has to be looked for. */
export interface LogPlace extends ChainEnd {
  readonly file?: { readonly inode: number; readonly offset: number } | undefined
}

/** Lines that follow a place, and the place behind them. */
export interface ReadLines {
  readonly lines: readonly PushedLine[]
  readonly place: LogPlace
  /** Whether the log is not the one of the place, so that it is read from its beginning. */
  readonly isOther: boolean
}

/** The most that is read at once. */
export const READ_LINES = 256
const READ_BYTES = 256 * 1_024

const SEQ = /^\{"seq":(\d{1,16}),/
/** Characters of a line in which its number stands. */
const SEQ_LENGTH = 24

/**
 * Reads the lines of the log at `path` behind `place`, up to line `through`; at most `maxLines` of them.
 *
 * Lines that are no longer there are left out, and lines that are damaged. Throws INVALID_ARGUMENT if it cannot be read.
 */
export async function readBehind(path: string, place: LogPlace, through: number, maxLines: number): Promise<ReadLines> {
  const known = await readOn(path, place, { through, maxLines })
  if (known !== undefined) return { ...known, isOther: false }
  const found = await find(path, place)
  const from = found ?? { ...EMPTY_CHAIN, file: undefined }
  const read = await readFrom(path, from, { through, maxLines })
  return { ...read, isOther: found === undefined }
}

type Read = Omit<ReadLines, 'isOther'>

interface Bounds {
  readonly through: number
  readonly maxLines: number
}

// Nothing if the file of the place is gone, or another one has its number now: the next line has to name this one.
async function readOn(path: string, place: LogPlace, bounds: Bounds): Promise<Read | undefined> {
  if (place.file === undefined) return undefined
  const files = await inodesOf(path)
  if (!files.some(({ inode }) => inode === place.file?.inode)) return undefined
  const read = await readFrom(path, place, bounds)
  const [first] = read.lines
  return first === undefined || first.line.prev === place.sha256 ? read : undefined
}

async function readFrom(path: string, place: LogPlace, { through, maxLines }: Bounds): Promise<Read> {
  const files = await inodesOf(path)
  const begin = Math.max(
    0,
    files.findIndex(({ inode }) => inode === place.file?.inode)
  )
  const lines: PushedLine[] = []
  let end = place
  let bytes = 0
  for (const { path: file, inode } of files.slice(begin)) {
    const offset = inode === place.file?.inode ? place.file.offset : 0
    for await (const raw of linesOf(file, offset)) {
      if (!raw.isWhole) break
      const text = raw.bytes.toString()
      const line = parseLine(text)
      if (line === undefined || line.seq <= place.seq) continue
      if (line.seq > through || lines.length >= maxLines || bytes >= READ_BYTES) return { lines, place: end }
      lines.push({ text, line })
      bytes += raw.bytes.length
      end = { seq: line.seq, sha256: hashOf(raw.bytes), file: { inode, offset: raw.endsAt } }
    }
  }
  return { lines, place: end }
}

/** The place behind the line `seq`, with its file; the place before the first line, if that one is newer. Undefined: it is another log. */
async function find(path: string, { seq, sha256 }: ChainEnd): Promise<LogPlace | undefined> {
  if (seq === 0) return { ...EMPTY_CHAIN, file: undefined }
  const files = await inodesOf(path)
  const begin = Math.max(
    0,
    files.findLastIndex(({ firstSeq }) => firstSeq !== undefined && firstSeq <= seq)
  )
  for (const { path: file, inode } of files.slice(begin)) {
    for await (const { bytes, endsAt, isWhole } of linesOf(file)) {
      if (!isWhole) break
      const number = Number(SEQ.exec(bytes.toString('latin1', 0, SEQ_LENGTH))?.[1] ?? 0)
      if (number < seq) continue
      if (number > seq) return { seq, sha256, file: undefined }
      return hashOf(bytes) === sha256 ? { seq, sha256, file: { inode, offset: endsAt } } : undefined
    }
  }
  return undefined
}

async function inodesOf(path: string): Promise<{ path: string; firstSeq: number | undefined; inode: number }[]> {
  const files = filesOf(path)
  const found = await Promise.all(
    files.map(async file => ({ ...file, inode: (await stat(file.path).catch(() => undefined))?.ino ?? 0 }))
  )
  // One that was removed meanwhile.
  return found.filter(({ inode }) => inode !== 0)
}
