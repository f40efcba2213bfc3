/** Notifies all current waiters that something has changed; later waiters wait for the next change. */
export class ChangeSignal {
  #next = Promise.withResolvers<void>()

  /** Resolves at the next `fire`. */
  changed(): Promise<void> {
    return this.#next.promise
  }

  fire(): void {
    const { resolve } = this.#next
    this.#next = Promise.withResolvers<void>()
    resolve()
  }
}
