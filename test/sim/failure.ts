/** An invariant did not hold. Thrown out of the simulation, which adds where and when. */
export class InvariantBroken extends Error {
  override readonly name = 'InvariantBroken'
  readonly invariant: string
  readonly detail: string
  /** Machine of the owner whose state is wrong, if one is. */
  readonly owner: string | undefined

  constructor(invariant: string, detail: string, owner?: string) {
    super(`${invariant}: ${detail}`)
    this.invariant = invariant
    this.detail = detail
    this.owner = owner
  }
}

/** The host has lost power in the middle of what it was doing. */
export class PowerLost extends Error {
  override readonly name = 'PowerLost'
}
