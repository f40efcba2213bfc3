type Listener = (this: AbortSignal, event: Event) => void
type AnyListener = Parameters<AbortSignal['addEventListener']>[1]

/**
 * An AbortSignal, and its controller, for what takes milliseconds and is seldom aborted: the steps of each connection.
 * Those of Node cost some microseconds and a kilobyte for each signal and listener.
 *
 * It has functions as listeners, of `abort` alone, and each gets one call at most. Give it only to functions of this
 * project: libraries may want more of a signal.
 */
export class ShortSignal implements AbortSignal {
  onabort = null
  #isAborted = false
  #reason: unknown
  /** Most have one, if any. */
  #listeners: Listener | Set<Listener> | undefined

  get aborted(): boolean {
    return this.#isAborted
  }

  get reason(): unknown {
    return this.#reason
  }

  get signal(): AbortSignal {
    return this
  }

  abort(reason?: unknown): void {
    if (this.#isAborted) return
    this.#isAborted = true
    this.#reason = reason ?? new DOMException('This operation was aborted', 'AbortError')
    const listeners = this.#listeners
    if (typeof listeners === 'function') this.#call(listeners)
    // One may remove another that has not been called.
    else if (listeners !== undefined) for (const listener of listeners) this.#call(listener)
    this.#listeners = undefined
  }

  throwIfAborted(): void {
    if (this.#isAborted) throw this.#reason
  }

  addEventListener(type: string, listener: AnyListener): void {
    if (type !== 'abort' || typeof listener !== 'function') throw new TypeError('only functions, for abort alone')
    if (this.#isAborted || this.#listeners === listener) return
    if (this.#listeners === undefined) this.#listeners = listener
    else if (typeof this.#listeners === 'function') this.#listeners = new Set([this.#listeners, listener])
    else this.#listeners.add(listener)
  }

  removeEventListener(_type: string, listener: AnyListener): void {
    if (this.#listeners === listener) this.#listeners = undefined
    else if (this.#listeners instanceof Set) this.#listeners.delete(listener as Listener)
  }

  // As Node does: the others are called, whatever one throws.
  #call(listener: Listener): void {
    try {
      listener.call(this, new Event('abort'))
    } catch (err) {
      process.nextTick(() => {
        throw err
      })
    }
  }

  dispatchEvent(): never {
    throw new TypeError('call abort')
  }
}
