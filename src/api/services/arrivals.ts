/**
 * What the other side of a conversation says, one message at a time, for a loop that waits for other things as well. The next one is read
 * only after the last one was taken.
 */
export class Arrivals<T> {
  readonly #messages: AsyncIterator<T>
  #came: { readonly value: IteratorResult<T> } | { readonly error: unknown } | undefined
  #wake = (): void => {}

  constructor(messages: AsyncIterable<T>) {
    this.#messages = messages[Symbol.asyncIterator]()
    this.#read()
  }

  /** Resolves at the next message, or with `other`. */
  async orAt(other: Promise<unknown>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = (): void => resolve()
    this.#wake = done
    other.then(done, done)
    if (this.#came !== undefined) done()
    await promise
  }

  /** The message that has come, if one has. Throws as the reading did. */
  take(): IteratorResult<T> | undefined {
    const came = this.#came
    if (came === undefined) return undefined
    if ('error' in came) throw came.error
    this.#came = undefined
    if (came.value.done !== true) this.#read()
    return came.value
  }

  #read(): void {
    this.#messages.next().then(
      value => this.#arrive({ value }),
      (error: unknown) => this.#arrive({ error })
    )
  }

  #arrive(came: { readonly value: IteratorResult<T> } | { readonly error: unknown }): void {
    this.#came = came
    this.#wake()
  }
}
