import type { Platform } from './platform.ts'
import { descriptorOfHandle, type ProcessHandle } from './process-handle.ts'
import { platform } from './select.ts'

const POLL_INTERVAL_MS = 250

/**
 * Reports within a quarter of a second that a process has ended, for any number of processes with one system call a
 * round.
 */
export class ProcessWatch {
  readonly #system: Platform
  readonly #watched = new Map<ProcessHandle, Set<() => void>>()
  #timer: NodeJS.Timeout | undefined

  constructor(system: Platform = platform()) {
    this.#system = system
  }

  /**
   * Calls `onExit` once when the process has ended; the returned function stops watching.
   *
   * The handle must stay open until then; closing it ends the watch without a call.
   */
  watch(handle: ProcessHandle, onExit: () => void): () => void {
    const listeners = this.#watched.get(handle) ?? new Set()
    listeners.add(onExit)
    this.#watched.set(handle, listeners)
    this.#timer ??= setInterval(() => this.#poll(), POLL_INTERVAL_MS).unref()
    return () => {
      listeners.delete(onExit)
      // Others may watch the handle again by now, and their watch must continue.
      if (listeners.size === 0 && this.#watched.get(handle) === listeners) this.#forget(handle)
    }
  }

  #poll(): void {
    const handles: ProcessHandle[] = []
    const fds: number[] = []
    for (const handle of [...this.#watched.keys()]) {
      const fd = descriptorOfHandle(handle)
      if (fd === undefined) {
        this.#forget(handle)
      } else {
        handles.push(handle)
        fds.push(fd)
      }
    }
    let ended: readonly boolean[]
    try {
      ended = this.#system.ended(fds)
    } catch {
      // The kernel was short of memory: no end is known, and the next round asks again.
      return
    }
    handles.forEach((handle, at) => {
      if (ended[at] !== true) return
      const listeners = this.#watched.get(handle) ?? []
      this.#forget(handle)
      for (const onExit of listeners) onExit()
    })
  }

  #forget(handle: ProcessHandle): void {
    this.#watched.delete(handle)
    if (this.#watched.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
