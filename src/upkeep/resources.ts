import { readdirSync, readFileSync, statSync } from 'node:fs'
import { ErrorCode, type Logger, WarrenError } from '../core/index.ts'

/** What the system allows this process. */
export interface Resources {
  /** Most file descriptors; undefined if the system does not report it. */
  readonly maxOpenFiles: number | undefined
  /** Most memory, by a control group; undefined if there is no such limit. */
  readonly maxMemoryBytes: number | undefined
}

const MIB = 1024 * 1024
/** An agent with nothing to do has about 50, one with eight connected hosts about 90. */
const MIN_OPEN_FILES = 256
/** Below it, a busy host runs out before it reaches the limits of its proxy: a flow takes two or three. */
const FEW_OPEN_FILES = 4_096
/** An agent with nothing to do takes 110 MiB, one that moves many bytes twice that. */
const MIN_MEMORY_BYTES = 160 * MIB
const LITTLE_MEMORY_BYTES = 320 * MIB

/** Reads the limits of this process. */
export function readResources(): Resources {
  // Without a limit it is zero, or a number near 2^64.
  const memory = process.constrainedMemory()
  return {
    maxOpenFiles: readMaxOpenFiles(),
    maxMemoryBytes: memory > 0 && memory < Number.MAX_SAFE_INTEGER ? memory : undefined
  }
}

/**
 * Refuses a start that would end for want of descriptors or memory before long; warns of a scarce one.
 *
 * Throws UNSUPPORTED with what is missing, and how to allow it.
 */
export function requireResources({ maxOpenFiles, maxMemoryBytes }: Resources, log: Logger): void {
  if (maxOpenFiles !== undefined && maxOpenFiles < MIN_OPEN_FILES) {
    throw new WarrenError(
      ErrorCode.Unsupported,
      `this process may have ${maxOpenFiles} file descriptors, and an agent needs ${MIN_OPEN_FILES}`,
      { hint: 'Allow more: ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit.' }
    )
  }
  if (maxMemoryBytes !== undefined && maxMemoryBytes < MIN_MEMORY_BYTES) {
    throw new WarrenError(
      ErrorCode.Unsupported,
      `the control group of this process allows ${mib(maxMemoryBytes)} of memory, and an agent needs ${mib(MIN_MEMORY_BYTES)}`,
      { hint: 'Allow more: MemoryMax= in the systemd unit, --memory of a container.' }
    )
  }
  if (maxOpenFiles !== undefined && maxOpenFiles < FEW_OPEN_FILES) {
    log.warn('few file descriptors are allowed: a flow takes two or three', { limit: maxOpenFiles })
  }
  if (maxMemoryBytes !== undefined && maxMemoryBytes < LITTLE_MEMORY_BYTES) {
    log.warn('little memory is allowed: a host with many flows needs more', { limit: maxMemoryBytes })
  }
}

/** The file descriptors that this process has; zero where the system does not report them. */
export function openFiles(): number {
  try {
    // https://docs.kernel.org/filesystems/proc.html: since Linux 6.2 the size of the directory is their number. To list them
    // would take milliseconds when there are thousands.
    const { size } = statSync('/proc/self/fd')
    return size > 0 ? size : readdirSync('/proc/self/fd').length
  } catch {
    return 0
  }
}

function readMaxOpenFiles(): number | undefined {
  try {
    // The soft limit: Node raises it to the hard one at its start.
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]
    return limit === undefined ? undefined : Number(limit)
  } catch {
    return undefined
  }
}

function mib(bytes: number): string {
  return `${Math.floor(bytes / MIB)} MiB`
}
