import { readFileSync } from 'node:fs'
import koffi from 'koffi'

const timespec = koffi.struct('bench_timespec', { seconds: 'int64', nanoseconds: 'int64' })
const clockGettime = koffi.load(null).func('clock_gettime', 'int', ['int', koffi.out(koffi.pointer(timespec))])

/** Processor time that a process has used so far, in milliseconds: of all of its threads, also of those that have ended. */
export function cpuMs(pid: number): number {
  // What clock_getcpuclockid(3) gives: the scheduler's clock of all threads of a process. Not /proc/PID/stat, which a kernel
  // may count by ticks, and not the sum over /proc/PID/task, where the threads of ended connections are missing.
  const clock = (~pid << 3) | 2
  const time = { seconds: 0, nanoseconds: 0 }
  if (clockGettime(clock, time) !== 0) throw new Error(`process ${pid} has no clock: it may have ended`)
  return time.seconds * 1_000 + time.nanoseconds / 1e6
}

/** Resident memory of a process, in bytes. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) * 1024
}
