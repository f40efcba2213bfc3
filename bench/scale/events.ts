/** A seeded source of chance: mulberry32, https://github.com/bryc/code/blob/master/jshash/PRNGs.md */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let bits = Math.imul(state ^ (state >>> 15), state | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Work in the order of its virtual time. */
export class Events {
  readonly #heap: Array<{ readonly atMs: number; readonly run: () => void }> = []
  nowMs = 0

  after(ms: number, run: () => void): void {
    const heap = this.#heap
    const entry = { atMs: this.nowMs + ms, run }
    let at = heap.push(entry) - 1
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = heap[up]
      if (parent === undefined || parent.atMs <= entry.atMs) break
      heap[at] = parent
      at = up
    }
    heap[at] = entry
  }

  run(untilMs: number): void {
    for (let first = this.#heap[0]; first !== undefined && first.atMs <= untilMs; first = this.#heap[0]) {
      this.#pop()
      this.nowMs = first.atMs
      first.run()
    }
    this.nowMs = untilMs
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      const [l, r] = [heap[left], heap[left + 1]]
      const smaller = r !== undefined && l !== undefined && r.atMs < l.atMs ? left + 1 : left
      const child = heap[smaller]
      if (child === undefined || child.atMs >= last.atMs) break
      heap[at] = child
      at = smaller
    }
    heap[at] = last
  }
}
