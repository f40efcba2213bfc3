import { constants } from 'node:os'
import koffi from 'koffi'

// include/uapi/linux/fcntl.h, include/uapi/linux/memfd.h, include/uapi/asm-generic/signal.h
const F_SETFD = 2
const F_DUPFD_CLOEXEC = 1030
const FD_CLOEXEC = 1
const MFD_CLOEXEC = 1
const SIG_IGN = 1

/** The system calls that a handover needs. All throw. */
export interface RestartCalls {
  /** Memory with a descriptor, which no path names. */
  readonly makeMemory: (name: string) => number
  readonly duplicate: (fd: number) => number
  /** Whether the next program of this process keeps the descriptor. */
  readonly setInherited: (fd: number, isInherited: boolean) => void
  /** The next program of this process finds the signal ignored. */
  readonly ignoreSignal: (number: number) => void
}

/** Throws where there is no such system. */
export function linuxCalls(): RestartCalls {
  if (process.platform !== 'linux') throw new Error('only for Linux')
  const libc = koffi.load(null)
  const memfdCreate = libc.func('int memfd_create(const char *name, unsigned int flags)')
  const fcntl = libc.func('int fcntl(int fd, int command, ...)')
  const signal = libc.func('intptr_t signal(int number, intptr_t handler)')
  const checked = (call: string, result: unknown): number => {
    const outcome = Number(result)
    if (outcome >= 0) return outcome
    const errno = koffi.errno()
    const name = Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`
    throw new Error(`${call} failed: ${name}`)
  }
  return {
    makeMemory: name => checked('memfd_create', memfdCreate(name, MFD_CLOEXEC)),
    duplicate: fd => checked('fcntl', fcntl(fd, F_DUPFD_CLOEXEC, 'int', 0)),
    setInherited: (fd, isInherited) => void checked('fcntl', fcntl(fd, F_SETFD, 'int', isInherited ? 0 : FD_CLOEXEC)),
    ignoreSignal: number => void signal(number, SIG_IGN)
  }
}
