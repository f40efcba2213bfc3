interface Scheduled {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

/** Virtual time: what is scheduled runs in the order of its time, and of its scheduling where times are equal. */
export class EventQueue {
  readonly #heap: Scheduled[] = []
  #order = 0
  /** Milliseconds since the simulation began. */
  nowMs = 0

  get size(): number {
    return this.#heap.length
  }

  after(ms: number, run: () => void): void {
    const heap = this.#heap
    const item = { atMs: this.nowMs + Math.max(0, ms), order: this.#order, run }
    this.#order += 1
    let at = heap.length
    heap.push(item)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(item, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = item
  }

  /** Runs the next event, if it is due by `untilMs`. */
  runNext(untilMs: number): boolean {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined || first.atMs > untilMs) {
      this.nowMs = Math.max(this.nowMs, untilMs)
      return false
    }
    const last = heap.pop()!
    if (heap.length > 0) this.#sink(last)
    this.nowMs = first.atMs
    first.run()
    return true
  }

  #sink(item: Scheduled): void {
    const heap = this.#heap
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1
      if (!before(heap[child]!, item)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = item
  }
}

function before(a: Scheduled, b: Scheduled): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
