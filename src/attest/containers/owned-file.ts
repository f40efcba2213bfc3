import { constants, type Stats } from 'node:fs'
import { type FileHandle, lstat, open } from 'node:fs/promises'
import { O_PATH } from '../linux-open.ts'
import { parsed } from './json.ts'

const GROUP_OR_OTHERS_WRITE = 0o022

/**
 * The content of a regular file that belongs to `uid` and that nobody else may write; undefined if there is none.
 *
 * It may be at a path that this user chose. So it is examined before it is opened: to open a device or a pipe would do something.
 */
export async function readOwned(path: string, uid: number, maxBytes: number): Promise<string | undefined> {
  return await readIf(path, stat => stat.uid === uid && (stat.mode & GROUP_OR_OTHERS_WRITE) === 0, maxBytes)
}

/** The same of a file of whoever: for what is signed. */
export async function readRegular(path: string, maxBytes: number): Promise<string | undefined> {
  return await readIf(path, () => true, maxBytes)
}

async function readIf(path: string, accepts: (stat: Stats) => boolean, maxBytes: number): Promise<string | undefined> {
  let found: FileHandle | undefined
  try {
    found = await open(path, O_PATH)
    const stat = await found.stat()
    if (!stat.isFile() || !accepts(stat) || stat.size > maxBytes) return undefined
    return await contentOf(found.fd, stat.size)
  } catch {
    return undefined
  } finally {
    await found?.close()
  }
}

/** The same, as JSON; undefined also if it is none, and while it is written. */
export async function readOwnedJson(path: string, uid: number, maxBytes: number): Promise<unknown> {
  const text = await readOwned(path, uid, maxBytes)
  return text === undefined ? undefined : parsed(text)
}

/** Whether there is a directory, and no link, that belongs to `uid` and where nobody else may make or remove anything. */
export async function isOwnedDirectory(path: string, uid: number): Promise<boolean> {
  try {
    const stat = await lstat(path)
    return stat.isDirectory() && stat.uid === uid && (stat.mode & GROUP_OR_OTHERS_WRITE) === 0
  } catch {
    return false
  }
}

async function contentOf(fd: number, size: number): Promise<string | undefined> {
  const file = await open(`/proc/self/fd/${fd}`, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const bytes = Buffer.alloc(size + 1)
    let length = 0
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length)
      if (bytesRead === 0) return bytes.toString('utf8', 0, length)
      length += bytesRead
    }
    // It has grown since it was examined.
    return undefined
  } finally {
    await file.close()
  }
}
