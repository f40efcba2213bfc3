import type { FileHandle } from 'node:fs/promises'
import type { ProcessView } from './view.ts'

/** What the kernel says of a running process besides who it is; one implementation for each system. */
export interface ProcessReader {
  /**
   * The supplementary ones alone: the primary one that counts is told by its socket, as of when it connected. What runs a setgid
   * program later has the group of that file, whoever started it. Throws when there is no such process.
   */
  readonly groupIdsOf: (pid: number) => readonly number[]
  /** Whether its user ids mean what ours mean, and were not made up in a user namespace. Throws when it cannot be told. */
  readonly sharesUserIds: (pid: number) => boolean
  /**
   * From where it sees the host. Never throws: what cannot be read makes it a view that is equal to none.
   *
   * Read by pid, so whoever calls holds the process, and looks afterwards whether it still lives.
   */
  readonly viewOf: (pid: number) => ProcessView
  /** The id that stands for all those that have no meaning here. */
  readonly overflowId: () => number
  /** Content of /proc/PID/cgroup or its like; undefined where there is none. */
  readonly cgroupOf: (pid: number) => string | undefined
  /**
   * Opens the very file that the process runs, and tells its path if that path leads to this very file here.
   *
   * No path when the file was deleted or replaced since it started, or the process sees other mounts. Rejects when it
   * cannot be opened.
   */
  readonly openExecutable: (pid: number) => Promise<{ readonly file: FileHandle; readonly path: string | undefined }>
}
