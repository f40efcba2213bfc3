import { closeSync, constants, openSync } from 'node:fs'
import { constants as osConstants } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'

const LOCK_EX = 2
const LOCK_NB = 4
const RETRY_MS = 20
/**
 * The lock of a directory is normally held for some milliseconds; a process that holds it for longer does so on
 * purpose.
 */
const PATIENCE_MS = 2_000

let flock: ((fd: number, operation: number) => number) | undefined

/**
 * Takes the kernel's exclusive lock (flock) of an open file or directory, without waiting. Resolves with whether it was
 * free.
 *
 * The lock is released with the descriptor, so also by any end of the process. Rejects if the file system has no locks.
 */
export async function tryLock(fd: number): Promise<boolean> {
  // Native code is loaded only when needed: most commands never need it.
  const { default: koffi } = await import('koffi')
  flock ??= koffi.load(null).func('int flock(int fd, int operation)') as (fd: number, operation: number) => number
  if (flock(fd, LOCK_EX | LOCK_NB) === 0) return true
  const errno = koffi.errno()
  if (errno === osConstants.errno.EWOULDBLOCK || errno === osConstants.errno.EAGAIN) return false
  throw new Error(`flock failed with errno ${errno}`)
}

/**
 * Runs `work` while this process alone holds the lock of `directory`, and leaves no file in it. Undefined if another
 * process holds the lock for two seconds. Rejects as `tryLock`, and when the directory cannot be opened.
 */
export async function withDirectoryLock<T>(
  directory: string,
  work: () => Promise<T>
): Promise<{ readonly done: T } | undefined> {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const deadlineMs = performance.now() + PATIENCE_MS
    while (!(await tryLock(fd))) {
      if (performance.now() > deadlineMs) return undefined
      await pause(RETRY_MS)
    }
    return { done: await work() }
  } finally {
    closeSync(fd)
  }
}
