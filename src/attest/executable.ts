import { readlinkSync } from 'node:fs'

/**
 * The path of the file that a process runs, as the process sees it; undefined where the kernel does not say it. For people: the
 * path may lead to another file here.
 */
export function executableOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`)
  } catch {
    return undefined
  }
}
