import { constants } from 'node:os'

/** poll(2) of the C library of this system. */
export interface Poll {
  /** Does not wait: takes an array of `struct pollfd` and leaves in it what happened; the result as of the call. */
  call(descriptors: Buffer, count: number): number
  /** `errno` after a call that failed. */
  errno(): number
}

const POLLIN = 1
const POLL_BYTES = 8
// A signal can interrupt even a call that does not wait. More often in a row than this, something else is wrong.
const INTERRUPTIONS = 100
// Each connection asks about one process at a time, more than once.
const ofOne = Buffer.alloc(POLL_BYTES)

/**
 * Which of these descriptors of processes are readable, as they are from the end of the process on: one call for all.
 *
 * `struct pollfd` is the same on every system. A call that a signal interrupts is repeated: nobody concludes from it that
 * a process has ended. Throws when the kernel does not say.
 */
export function readable(processFds: readonly number[], poll: Poll): boolean[] {
  if (processFds.length === 0) return []
  const fds = processFds.length === 1 ? ofOne : Buffer.alloc(processFds.length * POLL_BYTES)
  processFds.forEach((fd, at) => {
    fds.writeInt32LE(fd, at * POLL_BYTES)
    fds.writeInt16LE(POLLIN, at * POLL_BYTES + 4)
    fds.writeInt16LE(0, at * POLL_BYTES + 6)
  })
  for (let interruptions = 0; poll.call(fds, processFds.length) < 0; interruptions += 1) {
    const errno = poll.errno()
    if (errno !== constants.errno.EINTR || interruptions === INTERRUPTIONS) {
      throw new Error(`poll failed with errno ${errno}`)
    }
  }
  // An error event on a descriptor that we hold open cannot happen for a live process.
  return processFds.map((_fd, at) => fds.readInt16LE(at * POLL_BYTES + 6) !== 0)
}
