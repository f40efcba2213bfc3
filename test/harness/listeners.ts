import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

const LISTEN = '0A'

/** The TCP ports that a process listens on, as the kernel tells: by the sockets among its descriptors. */
export function listenersOf(pid: number): number[] {
  const own = new Set<string | undefined>()
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    // A descriptor may have been closed meanwhile.
    try {
      own.add(/^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1])
    } catch {}
  }
  const rows = ['tcp', 'tcp6'].flatMap(name => readFileSync(`/proc/${pid}/net/${name}`, 'utf8').split('\n').slice(1))
  return rows
    .map(row => row.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === LISTEN && own.has(inode))
    .map(([, local = '']) => Number.parseInt(local.split(':')[1] ?? '', 16))
    .toSorted((a, b) => a - b)
}
