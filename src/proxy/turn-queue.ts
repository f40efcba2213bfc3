/** Waiters of several sources: those of a source are served in order, and the sources in turn. */
export class TurnQueue<T> {
  /** The source whose turn is next comes first. */
  readonly #queues = new Map<string, Set<T>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  sizeOf(source: string): number {
    return this.#queues.get(source)?.size ?? 0
  }

  push(source: string, waiter: T): void {
    const queue = this.#queues.get(source) ?? new Set()
    this.#queues.set(source, queue.add(waiter))
    this.#size += 1
  }

  /** Removes the next waiter; then it is the turn of the other sources. */
  shift(): T | undefined {
    for (const [source, queue] of this.#queues) {
      this.#queues.delete(source)
      for (const waiter of queue) {
        queue.delete(waiter)
        this.#size -= 1
        if (queue.size > 0) this.#queues.set(source, queue)
        return waiter
      }
    }
    return undefined
  }

  /** Removes a waiter, if it still waits. */
  remove(source: string, waiter: T): void {
    const queue = this.#queues.get(source)
    if (queue?.delete(waiter) !== true) return
    this.#size -= 1
    if (queue.size === 0) this.#queues.delete(source)
  }
}
