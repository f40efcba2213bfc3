const LOOK_MS = 250

/** A flow in which bytes wait. */
export interface HeldFlow {
  /** Looks how many wait now. */
  readonly measure: () => void
}

/** Looks again, a few times a second, at what waits in flows that do not move. */
export class HeldFlows {
  readonly #held = new Set<HeldFlow>()
  #timer: NodeJS.Timeout | undefined

  add(flow: HeldFlow): void {
    this.#held.add(flow)
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS).unref()
  }

  delete(flow: HeldFlow): void {
    this.#held.delete(flow)
  }

  #look(): void {
    for (const flow of this.#held) flow.measure()
    if (this.#held.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
