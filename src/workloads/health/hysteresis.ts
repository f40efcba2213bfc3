/** Probes in a row that change the verdict: one alone may be chance. */
const FALL = 2
const RISE = 2

/** The verdict over a series of probes. Begins as passing. */
export class Hysteresis {
  #isPassing = true
  #against = 0

  get isPassing(): boolean {
    return this.#isPassing
  }

  /** Whether the last probe contradicts the verdict, or the verdict is failing: the next probe should come early. */
  get isUncertain(): boolean {
    return this.#against > 0 || !this.#isPassing
  }

  /** Takes the outcome of a probe; true if that changed the verdict. */
  note(ok: boolean): boolean {
    this.#against = ok === this.#isPassing ? 0 : this.#against + 1
    if (this.#against < (this.#isPassing ? FALL : RISE)) return false
    this.#isPassing = ok
    this.#against = 0
    return true
  }
}
