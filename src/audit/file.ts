import { close, fdatasync, fstatSync, ftruncate, readSync, renameSync, rmSync, write } from 'node:fs'
import { open, stat, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { ErrorCode, syncDirectory, tryLock, WarrenError } from '../core/index.ts'
import { openPrivateFile } from '../state/index.ts'
import { filesOf, fullFileOf } from './files.ts'
import { type ChainEnd, EMPTY_CHAIN, hashOf, parseLine } from './line.ts'
import { linesOf } from './lines.ts'

const closeFile = promisify(close)
const syncFile = promisify(fdatasync)
const truncateFile = promisify(ftruncate)
const writeFile = promisify(write)

/** The end of a file is read up to this size, to find its last line. */
const TAIL_BYTES = 256 * 1_024
const LINE_BREAK = 0x0a
const CLOSED = -1

/** What stood after the last whole line, as after a crash, and is removed. */
export interface CutLine {
  readonly cutBytes: number
  /** Hex. */
  readonly cutSha256: string
}

/** What a log gives up, oldest first, so that it does not become too large. */
export interface Surplus {
  readonly paths: readonly string[]
  /** The last line that is in none of the other files; the same as before if there is no surplus. */
  readonly removedThrough: ChainEnd
}

/** The file of an audit log that is written, and the full ones beside it. One call at a time. */
export class AuditFile {
  readonly path: string
  /** What was repaired when it was opened. */
  readonly cut: CutLine | undefined
  /** CLOSED after the end: the system may give the number to another file. */
  #fd: number
  #isBusy = false
  #bytes: number
  #firstSeq: number
  #end: ChainEnd

  private constructor(path: string, fd: number, found: Found) {
    this.path = path
    this.cut = found.cut
    this.#fd = fd
    this.#bytes = found.bytes
    this.#firstSeq = found.firstSeq
    this.#end = found.end
  }

  /**
   * Opens the log at `path`, or begins it, mode 0600. A line that was cut off is removed. Throws STATE_UNUSABLE: it belongs to another
   * user or is open to others, or another agent writes it.
   */
  static async open(path: string): Promise<AuditFile> {
    rmSync(newFileOf(path), { force: true })
    const fd = openPrivateFile(path)
    try {
      await lock(path, fd)
      const found = await stateOf(path, fd)
      if (found.cut !== undefined) await truncateFile(fd, found.bytes)
      return new AuditFile(path, fd, found)
    } catch (err) {
      await closeFile(fd)
      throw err
    }
  }

  /** The last line. */
  get end(): ChainEnd {
    return this.#end
  }

  /** Size of the file that is written. */
  get bytes(): number {
    return this.#bytes
  }

  /** Appends whole lines, the last of which is `end`: all of them, or none. Rejects with the error of the system. */
  async append(lines: Buffer, end: ChainEnd): Promise<void> {
    await this.#use(async fd => {
      try {
        for (let written = 0; written < lines.length; ) {
          const { bytesWritten } = await writeFile(fd, lines, written, lines.length - written, this.#bytes + written)
          written += bytesWritten
        }
      } catch (err) {
        // A part of a line must not stay: the next line would follow it. It is repaired at the next start if this fails as well.
        await truncateFile(fd, this.#bytes).catch(() => {})
        throw err
      }
    })
    if (this.#bytes === 0) this.#firstSeq = this.#end.seq + 1
    this.#bytes += lines.length
    this.#end = end
  }

  /** Resolves when all lines are on the disk. */
  async sync(): Promise<void> {
    await this.#use(syncFile)
  }

  /** Begins a new file; the former one gets a name of its own, which is returned. Then a line must follow. */
  async rotate(): Promise<string> {
    await this.sync()
    const fresh = newFileOf(this.path)
    // Made before anything is renamed: if it cannot be made, the former one is still written.
    const fd = openPrivateFile(fresh)
    try {
      await lock(fresh, fd)
      this.#requireOpen()
      const full = fullFileOf(this.path, this.#firstSeq)
      renameSync(this.path, full)
      renameSync(fresh, this.path)
      syncDirectory(dirname(this.path))
      const former = this.#fd
      this.#fd = fd
      this.#bytes = 0
      await closeFile(former)
      return full
    } catch (err) {
      if (this.#fd !== fd) await closeFile(fd)
      throw err
    }
  }

  /** The full files that have to go, so that the log with `fileBytes` for the one that is written has at most `maxBytes`. */
  async surplus(maxBytes: number, fileBytes: number): Promise<Surplus> {
    const full = filesOf(this.path).filter(({ firstSeq }) => firstSeq !== undefined)
    const sizes = await Promise.all(full.map(async ({ path }) => (await stat(path)).size))
    let total = sizes.reduce((sum, size) => sum + size, fileBytes)
    let count = 0
    for (; count < full.length && total > maxBytes; count += 1) total -= sizes[count] ?? 0
    const first = full[count]
    const removedThrough = first === undefined ? this.#end : await before(first.path)
    return { paths: full.slice(0, count).map(({ path }) => path), removedThrough }
  }

  async remove({ paths }: Surplus): Promise<void> {
    for (const path of paths) await unlink(path)
  }

  /** Ends it: nothing is written any more but by a call that still runs, which then closes the file. */
  async close(): Promise<void> {
    const fd = this.#fd
    this.#fd = CLOSED
    if (fd !== CLOSED && !this.#isBusy) await closeFile(fd)
  }

  async #use(work: (fd: number) => Promise<void>): Promise<void> {
    this.#requireOpen()
    const fd = this.#fd
    this.#isBusy = true
    try {
      await work(fd)
    } finally {
      this.#isBusy = false
      if (this.#fd === CLOSED) await closeFile(fd)
    }
  }

  #requireOpen(): void {
    if (this.#fd === CLOSED) throw new Error(`${this.path} is closed`)
  }
}

interface Found {
  readonly bytes: number
  readonly firstSeq: number
  readonly end: ChainEnd
  readonly cut: CutLine | undefined
}

function newFileOf(path: string): string {
  return `${path}.new`
}

async function lock(path: string, fd: number): Promise<void> {
  if (await tryLock(fd)) return
  throw new WarrenError(ErrorCode.StateUnusable, `another process writes ${path}`, {
    hint: 'Each agent needs an audit log of its own: give another path with --audit.'
  })
}

async function stateOf(path: string, fd: number): Promise<Found> {
  const { size } = fstatSync(fd)
  const { end, wholeBytes, rest } = tailOf(fd, size)
  const cut = rest.length === 0 ? undefined : { cutBytes: rest.length, cutSha256: hashOf(rest) }
  if (end !== undefined) return { bytes: wholeBytes, firstSeq: await firstSeqOf(path, end), end, cut }
  // A new log, or a crash between the end of one file and the first line of the next.
  const former = filesOf(path).at(-2)
  const last = former === undefined ? undefined : await endOf(former.path)
  return { bytes: wholeBytes, firstSeq: 1, end: last ?? EMPTY_CHAIN, cut }
}

async function endOf(path: string): Promise<ChainEnd | undefined> {
  const file = await open(path, 'r')
  try {
    return tailOf(file.fd, (await file.stat()).size).end
  } finally {
    await file.close()
  }
}

/** The last whole line, undefined if there is none, and what stands behind it. */
function tailOf(fd: number, size: number): { end: ChainEnd | undefined; wholeBytes: number; rest: Buffer } {
  const from = Math.max(0, size - TAIL_BYTES)
  const tail = Buffer.alloc(size - from)
  const read = tail.subarray(0, readSync(fd, tail, 0, tail.length, from))
  const last = read.lastIndexOf(LINE_BREAK)
  const rest = read.subarray(last + 1)
  if (last === -1) return { end: undefined, wholeBytes: size - rest.length, rest }
  const lines = splitLines(read.subarray(0, last))
  const bytes = lines.at(-1) ?? Buffer.alloc(0)
  // A line that is none of ours is damage: the chain continues behind it, and `verify` names it.
  const known = lines.findLastIndex(line => parseLine(line.toString()) !== undefined)
  const seq = (parseLine((lines[known] ?? bytes).toString())?.seq ?? 0) + (lines.length - 1 - known)
  return { end: { seq, sha256: hashOf(bytes) }, wholeBytes: size - rest.length, rest }
}

function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = []
  let begin = 0
  for (let end = bytes.indexOf(LINE_BREAK); end !== -1; end = bytes.indexOf(LINE_BREAK, begin)) {
    lines.push(bytes.subarray(begin, end))
    begin = end + 1
  }
  return [...lines, bytes.subarray(begin)]
}

async function firstSeqOf(path: string, end: ChainEnd): Promise<number> {
  for await (const { bytes } of linesOf(path)) return parseLine(bytes.toString())?.seq ?? end.seq
  return end.seq
}

/** The line before the first one of a file. */
async function before(path: string): Promise<ChainEnd> {
  for await (const { bytes } of linesOf(path)) {
    const line = parseLine(bytes.toString())
    if (line !== undefined) return { seq: line.seq - 1, sha256: line.prev }
  }
  return EMPTY_CHAIN
}
