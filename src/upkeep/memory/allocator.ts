import koffi from 'koffi'

/** The allocator of the C library, from which Node takes the memory of buffers. */
export interface Allocator {
  /** Takes `bytes` of free memory and makes its pages absent, so that they use no memory. Returns its address. */
  readonly claim: (bytes: number) => number
  readonly free: (address: number) => void
  /** Makes the pages of a mapping absent, until they are used again. Only for pages that are those of a file. */
  readonly release: (address: number, bytes: number) => void
  /** Gives all free memory back to the system. Takes about a millisecond for each megabyte that is present. */
  readonly trim: () => void
}

// include/uapi/asm-generic/mman-common.h
const MADV_DONTNEED = 4
const PAGE_BYTES = 4 * 1024

/** Undefined unless the C library is glibc on Linux with pages of 4 KiB: others keep less, or have no `malloc_trim`. */
export function systemAllocator(): Allocator | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const libc = koffi.load(null)
    const trim = libc.func('int malloc_trim(size_t pad)')
    const allocate = libc.func('uintptr_t malloc(size_t bytes)')
    const free = libc.func('void free(uintptr_t address)')
    const advise = libc.func('int madvise(uintptr_t address, size_t bytes, int advice)')
    const pageBytes = libc.func('long sysconf(int name)')(_SC_PAGESIZE)
    if (Number(pageBytes) !== PAGE_BYTES) return undefined
    return {
      claim: bytes => {
        const address = Number(allocate(bytes))
        // Only whole pages: at both ends the allocator keeps its own figures.
        const begin = Math.ceil(address / PAGE_BYTES) * PAGE_BYTES
        const size = Math.floor((address + bytes) / PAGE_BYTES) * PAGE_BYTES - begin
        if (address !== 0 && size > 0) advise(begin, size, MADV_DONTNEED)
        return address
      },
      free: address => void free(address),
      release: (address, bytes) => void advise(address, bytes, MADV_DONTNEED),
      trim: () => void trim(0)
    }
  } catch {
    return undefined
  }
}

const _SC_PAGESIZE = 30
