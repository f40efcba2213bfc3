/** Callbacks that wait for an offset that only grows. */
export class Milestones {
  #waiters: { readonly offset: number; readonly then: () => void }[] = []

  /** Calls back once, when `offset` is reached. */
  add(offset: number, then: () => void): void {
    this.#waiters.push({ offset, then })
  }

  reach(reached: number): void {
    const due = this.#waiters.filter(({ offset }) => offset <= reached)
    this.#waiters = this.#waiters.filter(({ offset }) => offset > reached)
    for (const { then } of due) then()
  }
}
