import type { FileHandle } from 'node:fs/promises'
import type { SecurityLabels } from './labels.ts'
import type { ProcessView } from './view.ts'

/** Facts from the kernel about a running process besides its user; one implementation for each system. */
export interface ProcessReader {
  /**
   * The supplementary groups alone: the primary one that counts comes from the socket, as of when it connected. A process that
   * runs a setgid program later has the group of that file, whoever started it. Throws when there is no such process.
   */
  readonly groupIdsOf: (pid: number) => readonly number[]
  /** Whether its user ids mean what ours mean, and were not made up in a user namespace. Throws if that is unknown. */
  readonly sharesUserIds: (pid: number) => boolean
  /**
   * Its view of the host. Never throws: a view that cannot be read is equal to none.
   *
   * It is read by pid, so the caller must hold the process, and check afterwards that it still lives.
   */
  readonly viewOf: (pid: number) => ProcessView
  /** The id that stands for all ids without a meaning here. */
  readonly overflowId: () => number
  /** Content of /proc/PID/cgroup or its like; undefined where there is none. */
  readonly cgroupOf: (pid: number) => string | undefined
  /** Read by pid, as the view. Never throws. */
  readonly labelsOf: (pid: number) => SecurityLabels
  /**
   * The user whose runtime may have made the container of a process: root, or the maker of its user namespace. Undefined where
   * no runtime is asked. Throws if it is unknown.
   */
  readonly runtimeOwnerOf: (pid: number) => number | undefined
  /**
   * Opens the very file that the process runs, and returns its path if that path leads to this very file here.
   *
   * No path when the file was deleted or replaced since it started, or the process sees other mounts. Rejects when it
   * cannot be opened.
   */
  readonly openExecutable: (pid: number) => Promise<{ readonly file: FileHandle; readonly path: string | undefined }>
}
