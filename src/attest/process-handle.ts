import { ErrorCode, WarrenError } from '../core/index.ts'
import type { Platform } from './platform.ts'
import { platform } from './select.ts'

/** A hold on one process. Its pid may be given to another process; the handle never is. */
export interface ProcessHandle {
  readonly pid: number
  /** Whether that very process still runs. False once closed, and when the kernel does not say. */
  isAlive(): boolean
  /** Releases the process. Idempotent. */
  close(): void
}

const descriptors = new WeakMap<ProcessHandle, () => number | undefined>()

/** A handle on a running process. Throws INVALID_SOURCE when there is none of this pid. */
export function processHandle(pid: number, system: Platform = platform()): ProcessHandle {
  try {
    return fromDescriptor(pid, system.openProcess(pid), system)
  } catch (cause) {
    throw new WarrenError(ErrorCode.InvalidSource, `process ${pid} does not run`, { cause })
  }
}

/** The user that a process runs as now. Throws when there is no such process. */
export function effectiveUidOf(pid: number, system: Platform = platform()): number {
  const uid = system.userIdsOf(pid)[1]
  if (uid === undefined) throw new Error(`process ${pid} has no effective user`)
  return uid
}

/** A handle of a descriptor that the process before this one held, and that it owns now. */
export function heldProcess(pid: number, fd: number, system: Platform = platform()): ProcessHandle {
  return fromDescriptor(pid, fd, system)
}

/** A handle that owns `fd`. */
export function fromDescriptor(pid: number, fd: number, system: Platform): ProcessHandle {
  let open: number | undefined = fd
  const handle: ProcessHandle = {
    pid,
    isAlive: () => {
      try {
        return open !== undefined && system.ended([open])[0] === false
      } catch {
        return false
      }
    },
    close: () => {
      if (open !== undefined) system.close(open)
      open = undefined
    }
  }
  descriptors.set(handle, () => open)
  return handle
}

/** The descriptor of an open handle. */
export function descriptorOfHandle(handle: ProcessHandle): number | undefined {
  return descriptors.get(handle)?.()
}
