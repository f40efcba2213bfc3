import type { KernelCredentials } from '../platform.ts'

/** Facts about a process from `struct kinfo_proc`. */
export interface ProcessInfo {
  /** Real, effective, saved. */
  readonly userIds: readonly number[]
  /** Primary and supplementary. */
  readonly groupIds: readonly number[]
  /** The jail it is in; 0: in none. Users of a jail are not those of the host, whatever their numbers. */
  readonly jail: number
}

/** One call of the C library each; throws the error of the system. */
export interface BsdCalls {
  /** A socket option, which must have exactly this many bytes. */
  readonly option: (fd: number, level: number, name: number, bytes: number) => Buffer
  /** The answer of sysctl(3), of at most this many bytes. */
  readonly sysctl: (name: readonly number[], bytes: number) => Buffer
  /** A kqueue with this one `struct kevent` in it. */
  readonly kqueueWith: (change: Buffer) => number
  /** The kqueues of these that have an event, without waiting. */
  readonly readable: (fds: readonly number[]) => readonly boolean[]
  readonly close: (fd: number) => void
}

/** The differences between the BSDs, macOS among them: numbers and the layout of structures, for 64-bit little-endian. */
export interface BsdSystem {
  readonly credentialsOf: (fd: number, calls: BsdCalls) => KernelCredentials
  readonly processName: (pid: number) => readonly number[]
  /** Layout of `struct kinfo_proc`. */
  readonly processBytes: number
  readonly processInfo: (info: Buffer, pid: number) => ProcessInfo
  /** Layout of `struct kevent`. */
  readonly keventBytes: number
}

/** As many 32-bit ids as `count` says, and no more than there is room for. */
export function idsAt(info: Buffer, offset: number, count: number, room = 16): number[] {
  return Array.from({ length: Math.max(0, Math.min(count, room)) }, (_, at) => info.readUInt32LE(offset + 4 * at))
}

/** Throws unless this is the structure of that process: a kernel with another layout must not be misread. */
export function requireProcess(info: Buffer, bytes: number, pidOffset: number, pid: number): void {
  if (info.length !== bytes) throw new Error(`struct kinfo_proc has ${info.length} bytes, not ${bytes}`)
  const found = info.readInt32LE(pidOffset)
  if (found !== pid) throw new Error(`the kernel answered for process ${found}, not ${pid}`)
}
