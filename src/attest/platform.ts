/** The process at the other end of a unix connection, according to the kernel. */
export interface KernelCredentials {
  readonly uid: number
  readonly gid: number
  readonly pid: number
}

/** The differences between systems, with one implementation for each; everything above is the same everywhere. */
export interface Platform {
  /** Throws when the kernel does not say. */
  readonly credentialsOf: (fd: number) => KernelCredentials
  /**
   * A descriptor that refers to the peer process for as long as it is open; undefined if the kernel has no such
   * descriptors. Throws if it has and there is none, as for a peer that has ended.
   */
  readonly peerProcessFd: (fd: number) => number | undefined
  /** The same for a running process by pid. Throws when there is no such process. */
  readonly openProcess: (pid: number) => number
  /** The user ids (real, effective, saved, … in this order) of a running process. Throws when there is no such process. */
  readonly userIdsOf: (pid: number) => readonly number[]
  /**
   * Whether the socket at the other end of this accepted one is in the agent's network. `pid` is the process there, for
   * kernels that know only processes. False if that is unknown.
   */
  readonly sharesNetwork: (fd: number, pid: number) => boolean
  /** Which of these processes have ended: one call, without waiting. Throws when the kernel does not say. */
  readonly ended: (processFds: readonly number[]) => readonly boolean[]
  readonly close: (fd: number) => void
}
