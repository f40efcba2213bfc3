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

/**
 * Resolves at the next change of any of `sources`, each of which resolves at its own next change.
 *
 * Each source has one waiter, however many wait for the result: one that changes rarely would keep all the waiters of a race.
 */
export function anyChange(...sources: ReadonlyArray<() => Promise<void>>): () => Promise<void> {
  const signal = new ChangeSignal()
  const follow = (source: () => Promise<void>): void => {
    source().then(
      () => {
        signal.fire()
        follow(source)
      },
      () => {}
    )
  }
  for (const source of sources) follow(source)
  return () => signal.changed()
}
