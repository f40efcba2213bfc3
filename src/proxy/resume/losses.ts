/** A path that was lost within this time, and on which nothing arrived, was no path. */
const SHORT_MS = 5_000
/** After so many of them, one after the other, the paths are not what is wrong. */
const MAX_FRUITLESS = 8
/** After so many losses a flow stays on its stream: something between the hosts may harm connections beside a session. */
const MAX_MOVING_LOSSES = 4

/** Counts how often a flow has lost its path. */
export class Losses {
  #count = 0
  #fruitless = 0
  #begunMs: number
  #progress = 0

  constructor(nowMs: number) {
    this.#begunMs = nowMs
  }

  /** Whether a connection of its own is worth another attempt. */
  get mayMove(): boolean {
    return this.#count < MAX_MOVING_LOSSES
  }

  /** A path begins. `progress` grows with each byte that arrives at either end. */
  begun(nowMs: number, progress: number): void {
    this.#begunMs = nowMs
    this.#progress = progress
  }

  /** The path is lost. Returns false if no other one is worth an attempt. */
  lost(nowMs: number, progress: number): boolean {
    this.#count += 1
    const isFruitless = progress === this.#progress && nowMs - this.#begunMs < SHORT_MS
    this.#fruitless = isFruitless ? this.#fruitless + 1 : 0
    return this.#fruitless < MAX_FRUITLESS
  }
}
