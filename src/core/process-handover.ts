import type { Server } from 'node:net'
import type { HostPort } from './net.ts'

/** What a process leaves under a name to the one that follows it. */
export interface Left {
  /** Any value of JSON. */
  readonly data?: unknown
  /** Whoever takes them owns them. One that was lost on its way is negative. */
  readonly descriptors?: readonly number[]
  readonly bytes?: readonly Buffer[]
}

/** How one process of an agent leaves what it holds to the next one, which follows it under the same process id. */
export interface ProcessHandover {
  /** Whether a process may follow this one: paths of sockets stay then. */
  readonly isFollowed: boolean
  /** What the process before this one has left under a name; undefined if nothing, or if it was taken. */
  take(name: string): Left | undefined
  /** What was left under this name is used: the former program, if it runs again, does not get it. */
  spend(name: string): void
  /**
   * The same for every listener under another name, `… HOST:PORT`, whose address keeps this process from listening at `at`. All
   * others stay for the former program.
   */
  spendOverlapping(name: string, at: HostPort): void
  /** Leaves a listener: from the handover on, connections wait in the kernel for the next process. */
  leaveListener(name: string, server: Server): void
  /** `make` is called at the handover. A later call under the same name replaces it. */
  leave(name: string, make: () => Left | Promise<Left>): void
}

/** The descriptor of a listener that the process before has left under this name. */
export function takeListener(handover: ProcessHandover | undefined, name: string): number | undefined {
  return handover?.take(name)?.descriptors?.find(fd => fd >= 0)
}
