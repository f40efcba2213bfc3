/** The last seen content of each member. */
export class Sightings {
  readonly #held: Array<ReadonlySet<string>>
  readonly #waiting = new Set<() => void>()

  constructor(members: number) {
    this.#held = Array.from({ length: members }, () => new Set<string>())
  }

  see(member: number, ids: ReadonlySet<string>): void {
    this.#held[member] = ids
    for (const look of [...this.#waiting]) look()
  }

  /** Resolves with the time, by `performance.now()`, once `wanted` holds of all members. */
  async everywhere(wanted: (ids: ReadonlySet<string>) => boolean): Promise<number> {
    const found = Promise.withResolvers<number>()
    const look = (): void => {
      if (!this.#held.every(wanted)) return
      this.#waiting.delete(look)
      found.resolve(performance.now())
    }
    this.#waiting.add(look)
    look()
    return await found.promise
  }
}
