/** Where a sender of a flow asks whether it may send more: its path must have room, and the other agent acknowledge enough. */
export class SendRoom {
  readonly #isAhead: () => boolean
  readonly #tell: () => void
  #isPathFull = false
  /** A sender waits for room. */
  #isAwaited = false

  /** `isAhead`: whether too much is not acknowledged. `tell` is called when there is room, after there was none. */
  constructor(isAhead: () => boolean, tell: () => void) {
    this.#isAhead = isAhead
    this.#tell = tell
  }

  /** Something was given to the path, which has room for more or not. Returns whether more may be sent. */
  sent(hasRoom: boolean): boolean {
    this.#isPathFull = !hasRoom
    if (hasRoom && !this.#isAhead()) return true
    this.#isAwaited = true
    return false
  }

  /** The path has room again, or is another one. */
  pathHasRoom(): void {
    this.#isPathFull = false
    this.look()
  }

  /** The other agent has acknowledged more. */
  look(): void {
    if (!this.#isAwaited || this.#isPathFull || this.#isAhead()) return
    this.#isAwaited = false
    this.#tell()
  }
}
