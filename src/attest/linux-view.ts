import { readFileSync, readlinkSync, statSync } from 'node:fs'
import { type ProcessView, unknownView } from './view.ts'

const OF_HOST = Object.freeze({ isOfHost: true, whyNot: '' })

/** Reads views from /proc, which must be that of the agent's own pid namespace. */
export class LinuxViews {
  readonly #sharesUserIds: (pid: number) => boolean
  #own: { readonly root: string; readonly pids: string; readonly depth: number } | undefined

  constructor(sharesUserIds: (pid: number) => boolean) {
    this.#sharesUserIds = sharesUserIds
  }

  /**
   * The view of a process by pid; of an unknown one if there is none. Never throws.
   *
   * The caller must hold the process, and check afterwards that it still lives.
   */
  viewOf(pid: number): ProcessView {
    try {
      this.#own ??= { root: rootOf('self') ?? '', pids: readlinkSync('/proc/self/ns/pid'), depth: depthOf('self') }
      if (this.#own.depth !== 1) return unknownView('cannot be examined: /proc is that of another pid namespace')
      if (!this.#sharesUserIds(pid)) return ofOtherUsers(pid)
      const pids = pidNamespaceOf(pid)
      const [depth, root] = [pids === this.#own.pids ? 1 : depthOf(pid), rootOf(pid)]
      const sharesPids = depth === 1
      // Without a root directory only the known facts are compared: an agent that may not look at the processes of other
      // users could serve none of them otherwise. None of them is of the host.
      // Two containers may be made over one root directory; one whose pid namespace cannot be read is equal to none.
      const where = sharesPids ? 'host' : pids
      const key = where === undefined ? undefined : `${where} ${root ?? 'unreadable'}`
      if (sharesPids && root === this.#own.root) return { ...OF_HOST, sharesPids, key }
      return Object.freeze({ isOfHost: false, sharesPids, key, whyNot: reasonOf(sharesPids, root) })
    } catch {
      return unknownView('could not be examined')
    }
  }
}

// Of a container that an entry names: what it has is for those who see the same as it does, under the same kernel's uid.
function ofOtherUsers(pid: number): ProcessView {
  const view = unknownView('is in a user namespace of its own')
  const [pids, root] = [pidNamespaceOf(pid), rootOf(pid)]
  if (pids === undefined || root === undefined) return view
  return Object.freeze({ ...view, key: `${readlinkSync(`/proc/${pid}/ns/user`)} ${pids} ${root}` })
}

function reasonOf(sharesPids: boolean, root: string | undefined): string {
  if (!sharesPids) return 'is in a pid namespace of its own, as in a container'
  if (root !== undefined) return 'has a root directory of its own, as in a container'
  return 'has a root directory that this agent may not read, for want of CAP_SYS_PTRACE'
}

// It costs a fifth of reading the status, which everybody may read; only a user who may trace the process may read this.
function pidNamespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`)
  } catch {
    return undefined
  }
}

/** Pid namespaces from ours down to its own: 1 if that is ours. */
function depthOf(pid: number | 'self'): number {
  const numbers = /^NSpid:((?:\s+\d+)+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
  if (numbers === undefined) throw new Error(`/proc/${pid}/status names no pid namespace`)
  return numbers.trim().split(/\s+/).length
}

/** The identity of the directory "/"; undefined if only a user who may trace the process may read it. */
function rootOf(pid: number | 'self'): string | undefined {
  try {
    const { dev, ino } = statSync(`/proc/${pid}/root/`, { bigint: true })
    return `${dev}:${ino}`
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'EACCES') return undefined
    throw err
  }
}
