/** poll(2) without waiting: takes an array of `struct pollfd` and leaves in it what happened; the result as of the call. */
export type Poll = (descriptors: Buffer, count: number) => number

const POLLIN = 1
const POLL_BYTES = 8

/**
 * Which of these descriptors of processes are readable, as they are from the end of the process on: one call for all.
 *
 * `struct pollfd` is the same on every system. Throws when the kernel does not say.
 */
export function readable(processFds: readonly number[], poll: Poll): boolean[] {
  if (processFds.length === 0) return []
  const fds = Buffer.alloc(processFds.length * POLL_BYTES)
  processFds.forEach((fd, at) => {
    fds.writeInt32LE(fd, at * POLL_BYTES)
    fds.writeInt16LE(POLLIN, at * POLL_BYTES + 4)
  })
  if (poll(fds, processFds.length) < 0) throw new Error('poll failed')
  // An error event on a descriptor that we hold open cannot happen for a live process.
  return processFds.map((_fd, at) => fds.readInt16LE(at * POLL_BYTES + 6) !== 0)
}
