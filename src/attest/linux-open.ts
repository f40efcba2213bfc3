import { constants, openSync } from 'node:fs'
import { constants as system } from 'node:os'
import koffi from 'koffi'

// include/uapi/linux/openat2.h; the number of the call is the same on every architecture.
const SYS_OPENAT2 = 437
const RESOLVE_NO_MAGICLINKS = 0x02n
const RESOLVE_NO_SYMLINKS = 0x04n
const RESOLVE_BENEATH = 0x08n
const RESOLVE_IN_ROOT = 0x10n
const RESOLVE_CACHED = 0x20n
/** As a process with that root directory finds it. */
const AS_SEEN = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
const HOW_BYTES = 24
// Not among Node's constants: opens the path itself, so that it may be a socket.
export const O_PATH = 0o10000000
const O_CLOEXEC = 0o2000000
const HOW_CACHED = how(AS_SEEN | RESOLVE_CACHED)
const { EAGAIN, EINVAL, ENOSYS } = system.errno
/** Look-ups at once that may have to wait for a disk or a network. Node has four threads for such work, and files to read. */
const MAX_WAITING = 2

type OpenAt2 = (root: number, path: string, how: Buffer) => number

let call: { readonly sync: OpenAt2; readonly later: (root: number, path: string, how: Buffer) => Promise<number> }
let waiting = 0

/** An errno, named as Node names it. */
export class OpenError extends Error {
  readonly code: string

  constructor(errno: number) {
    const code = Object.entries(system.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`
    super(`openat2 failed with ${code}`)
    this.code = code
  }
}

/** The root directory of a process, as a descriptor that opens nothing. Throws what the system says. */
export function openRoot(pid: number): number {
  return openSync(`/proc/${pid}/root/`, O_PATH | constants.O_DIRECTORY)
}

/**
 * Opens the file at an absolute path as a process with this root directory finds it, with O_PATH. Links are followed below
 * that root; the magic links of /proc, which lead out of it, are not.
 *
 * Looks up only what the kernel has cached. Undefined if that needs a disk or a network, or the kernel does not say. Throws
 * an OpenError.
 */
export function openCachedBelow(root: number, path: string): number | undefined {
  load()
  const cached = call.sync(root, path, HOW_CACHED)
  if (cached >= 0) return cached
  const errno = koffi.errno()
  // EINVAL: Linux before 5.12, which does not know RESOLVE_CACHED.
  if (errno === EAGAIN || errno === EINVAL) return undefined
  throw new OpenError(errno)
}

/**
 * The same for paths that `openCachedBelow` does not find, without blocking the event loop. Rejects with an OpenError; EAGAIN
 * says that it may be tried again.
 */
export async function openBelow(root: number, path: string): Promise<number> {
  load()
  if (waiting >= MAX_WAITING) throw new OpenError(EAGAIN)
  const found = await slowly(root, path)
  if (found >= 0) return found
  // The errno of another thread is not to be had. That has just had its answer, so this one does not wait for long.
  const again = call.sync(root, path, how(AS_SEEN))
  if (again >= 0) return again
  throw new OpenError(koffi.errno())
}

/**
 * Opens what has this name in a directory, with O_PATH, and follows no link. Throws an OpenError, or what the system says.
 *
 * Before Linux 5.6 a link is opened itself, which leads nowhere either.
 */
export function openEntry(directory: number, name: string): number {
  load()
  const found = call.sync(directory, name, how(RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH))
  if (found >= 0) return found
  const errno = koffi.errno()
  if (errno !== ENOSYS) throw new OpenError(errno)
  return openSync(`/proc/self/fd/${directory}/${name}`, O_PATH | constants.O_NOFOLLOW)
}

async function slowly(root: number, path: string): Promise<number> {
  waiting += 1
  try {
    return await call.later(root, path, how(AS_SEEN))
  } finally {
    waiting -= 1
  }
}

function how(resolve: bigint): Buffer {
  const value = Buffer.alloc(HOW_BYTES)
  value.writeBigUInt64LE(BigInt(O_PATH | O_CLOEXEC), 0)
  value.writeBigUInt64LE(resolve, 16)
  return value
}

function load(): void {
  if (call !== undefined) return
  const libc = koffi.load(null)
  const syscall = libc.func('long syscall(long number, long root, const char *path, const uint8_t *how, long size)')
  call = {
    sync: (root, path, value) => syscall(SYS_OPENAT2, root, path, value, HOW_BYTES) as number,
    later: async (root, path, value) => {
      const { promise, resolve, reject } = Promise.withResolvers<number>()
      syscall.async(SYS_OPENAT2, root, path, value, HOW_BYTES, (err: unknown, result: number) => {
        if (err === null || err === undefined) resolve(result)
        else reject(err)
      })
      return await promise
    }
  }
}
