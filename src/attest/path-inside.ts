import { closeSync, openSync, readSync, statSync } from 'node:fs'
import type { ProcessHandle } from './process-handle.ts'
import { findSocket } from './socket-path.ts'

/** A mount as /proc/PID/mountinfo names it. */
interface Mount {
  /** As in "0:45". */
  readonly device: string
  /** The directory of that file system which is mounted. */
  readonly root: string
  readonly at: string
}

/** What is read of the mounts of a process: those of a container are a few dozen, and it may make more. */
const MAX_BYTES = 256 * 1024
/** Places in a container where the same directory may be mounted, of which the right one is looked for. */
const MAX_CANDIDATES = 8

/**
 * The path at which a process finds the directory that is at `path` here, by its own mounts; undefined if there is none, or the
 * agent may not look. It is that very directory, by device and inode, whatever the process has mounted or linked there.
 */
export async function pathInside(
  process: Pick<ProcessHandle, 'pid' | 'isAlive'>,
  path: string
): Promise<string | undefined> {
  const { dev, ino } = statSync(path, { bigint: true })
  for (const candidate of candidates(path, readMounts('self'), readMounts(process.pid))) {
    const found = await Promise.resolve(findSocket(process, candidate)).catch(() => undefined)
    const file = found?.file()
    found?.close()
    if (file?.dev === dev && file.ino === ino) return candidate
  }
  return undefined
}

/** Where `path` of one list of mounts may be in another, the closest mount first. */
export function candidates(path: string, own: readonly Mount[], theirs: readonly Mount[]): string[] {
  // Of mounts at one place the last one is seen.
  const [mount] = own.filter(({ at }) => below(path, at) !== undefined).toSorted((a, b) => b.at.length - a.at.length)
  const seen = own.findLast(({ at }) => at === mount?.at)
  if (seen === undefined) return []
  const inFileSystem = join(seen.root, below(path, seen.at) ?? '')
  return theirs
    .filter(({ device, root }) => device === seen.device && below(inFileSystem, root) !== undefined)
    .toSorted((a, b) => b.root.length - a.root.length)
    .slice(0, MAX_CANDIDATES)
    .map(({ root, at }) => join(at, below(inFileSystem, root) ?? ''))
}

export function parseMounts(text: string): Mount[] {
  return text.split('\n').flatMap(line => {
    const [, , device, root, at] = line.split(' ')
    return device === undefined || root === undefined || at === undefined
      ? []
      : [{ device, root: unescaped(root), at: unescaped(at) }]
  })
}

function readMounts(pid: number | 'self'): Mount[] {
  const fd = openSync(`/proc/${pid}/mountinfo`, 'r')
  try {
    const bytes = Buffer.alloc(MAX_BYTES)
    let length = 0
    for (let read = 1; read > 0 && length < MAX_BYTES; length += read) {
      read = readSync(fd, bytes, length, MAX_BYTES - length, null)
    }
    return parseMounts(bytes.toString('utf8', 0, length))
  } finally {
    closeSync(fd)
  }
}

/** What remains of a path below a directory, with its slash; empty for the directory itself. */
function below(path: string, directory: string): string | undefined {
  if (directory === '/') return path === '/' ? '' : path
  if (path === directory) return ''
  return path.startsWith(`${directory}/`) ? path.slice(directory.length) : undefined
}

function join(directory: string, rest: string): string {
  if (rest === '') return directory
  return directory === '/' ? rest : `${directory}${rest}`
}

// Space, tab, line end and backslash are written as octal numbers.
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
