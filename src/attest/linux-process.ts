import { readFileSync, readlinkSync } from 'node:fs'
import { open, readlink, stat } from 'node:fs/promises'
import { labelsOf } from './labels.ts'
import { LinuxViews } from './linux-view.ts'
import type { ProcessReader } from './process-reader.ts'
import { userNamespaceOwner } from './user-namespace.ts'

/** Linux: /proc. */
export function linuxProcessReader(): ProcessReader {
  const views = new LinuxViews(sharesUserIds)
  return {
    groupIdsOf(pid) {
      const status = readFileSync(`/proc/${pid}/status`, 'latin1')
      const groups = /^Groups:(.*)$/m.exec(status)?.[1]
      if (groups === undefined) throw new Error(`/proc/${pid}/status names no groups`)
      return numbers(groups)
    },

    sharesUserIds,
    viewOf: pid => views.viewOf(pid),

    overflowId: () => Number(readFileSync('/proc/sys/kernel/overflowuid', 'latin1')),

    cgroupOf(pid) {
      try {
        return readFileSync(`/proc/${pid}/cgroup`, 'latin1')
      } catch {
        return undefined
      }
    },

    labelsOf,
    runtimeOwnerOf: pid => (sharesUserIds(pid) ? 0 : userNamespaceOwner(pid)),

    async openExecutable(pid) {
      const link = `/proc/${pid}/exe`
      // Opened first: from here on the file cannot be swapped, whatever happens to its path.
      const file = await open(link, 'r')
      try {
        const { dev, ino } = await file.stat({ bigint: true })
        const isSame = async (path: string): Promise<boolean> => {
          const found = await stat(path, { bigint: true }).catch(() => undefined)
          return found?.dev === dev && found.ino === ino
        }
        const path = await readlink(link)
        // The link is read again: the process could have started another program after the file was opened.
        return { file, path: (await isSame(link)) && (await isSame(path)) ? path : undefined }
      } catch (err) {
        await file.close()
        throw err
      }
    }
  }
}

let ownUserNamespace: string | undefined

function sharesUserIds(pid: number): boolean {
  try {
    // Our own stays the same: a process with more than one thread cannot enter another.
    ownUserNamespace ??= readlinkSync('/proc/self/ns/user')
    return readlinkSync(`/proc/${pid}/ns/user`) === ownUserNamespace
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'EACCES') throw err
    // The link is for those who may trace the process; the map is for all, and differs in every other namespace
    // that a user without privileges can make.
    return readFileSync(`/proc/${pid}/uid_map`, 'latin1') === readFileSync('/proc/self/uid_map', 'latin1')
  }
}

function numbers(text = ''): number[] {
  return text
    .trim()
    .split(/\s+/)
    .filter(part => part !== '')
    .map(Number)
}
