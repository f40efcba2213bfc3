/**
 * A signal for a task of many steps, each with its own time limit. Use `within` for one step: this class saves the
 * controller, timer and listeners of each step.
 *
 * Aborts with a `TimeoutError` when the time of a step has passed, or with the reason of `parent`. `end` must be
 * called.
 */
export class Deadline {
  readonly #controller = new AbortController()
  readonly #parent: AbortSignal
  readonly #follow = (): void => this.#controller.abort(this.#parent.reason)
  #timer: NodeJS.Timeout | undefined

  constructor(parent: AbortSignal) {
    this.#parent = parent
    if (parent.aborted) this.#follow()
    else parent.addEventListener('abort', this.#follow)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Ends the step before, and begins a step that may take `ms` milliseconds. */
  step(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#controller.abort(new DOMException(`no result within ${ms} ms`, 'TimeoutError'))
    }, ms)
  }

  /** Removes the timer and the listener. */
  end(): void {
    clearTimeout(this.#timer)
    this.#parent.removeEventListener('abort', this.#follow)
  }
}
