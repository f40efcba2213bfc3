import { readdirSync, readFileSync } from 'node:fs'

/** Processor time that the threads of a process have used so far, in milliseconds. */
export function cpuMs(pid: number): number {
  // Not /proc/PID/stat: a kernel may count by ticks there, and a process that only runs between two ticks is counted wrong.
  const nanoseconds = readdirSync(`/proc/${pid}/task`).map(thread =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
  )
  return nanoseconds.reduce((sum, of) => sum + of, 0) / 1e6
}

/** Resident memory of a process, in bytes. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) * 1024
}
