/**
 * A signal for a task of many steps, each with a time of its own. For one step there is `within`: what this saves is its
 * controller, its timer and its listeners at each of them.
 *
 * Aborts with a `TimeoutError` when the time of a step is over, or with the reason of `parent`. `end` must be called.
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

  /** Begins a step that may take `ms` milliseconds, and ends the one before. */
  step(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#controller.abort(new DOMException(`no result within ${ms} ms`, 'TimeoutError'))
    }, ms)
  }

  /** Leaves neither timer nor listener behind. */
  end(): void {
    clearTimeout(this.#timer)
    this.#parent.removeEventListener('abort', this.#follow)
  }
}
