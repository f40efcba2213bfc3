import { constants } from 'node:os'
import koffi from 'koffi'

// fcntl.h of each system.
const F_DUPFD_CLOEXEC: Partial<Record<NodeJS.Platform, number>> = {
  linux: 1030,
  darwin: 67,
  freebsd: 17,
  openbsd: 10,
  netbsd: 12
}

type Duplicate = (fd: number) => number

let duplicate: Duplicate | undefined | null = null

/**
 * Returns a function that duplicates a descriptor. The copy outlives the original and is not inherited by programs.
 * Undefined if the system is not known. The function throws when there are no descriptors left.
 */
export function duplicator(): Duplicate | undefined {
  if (duplicate === null) duplicate = make()
  return duplicate
}

function make(): Duplicate | undefined {
  const command = F_DUPFD_CLOEXEC[process.platform]
  if (command === undefined) return undefined
  const fcntl = koffi.load(null).func('int fcntl(int fd, int command, ...)')
  return fd => {
    const made: unknown = fcntl(fd, command, 'int', 0)
    if (typeof made === 'number' && made >= 0) return made
    const errno = koffi.errno()
    const name = Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`
    throw new Error(`the descriptor cannot be duplicated: ${name}`)
  }
}
