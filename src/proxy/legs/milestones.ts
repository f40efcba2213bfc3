/** Who waits for an offset that only grows. */
export class Milestones {
  #waiters: { readonly offset: number; readonly then: () => void }[] = []

  get size(): number {
    return this.#waiters.length
  }

  /** Calls back once, when `offset` is reached; now, if it has been at `reached`. */
  add(offset: number, then: () => void, reached: number): void {
    if (reached >= offset) then()
    else this.#waiters.push({ offset, then })
  }

  reach(reached: number): void {
    const due = this.#waiters.filter(({ offset }) => offset <= reached)
    this.#waiters = this.#waiters.filter(({ offset }) => offset > reached)
    for (const { then } of due) then()
  }
}
