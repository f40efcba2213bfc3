import type { Profile } from '../registry/index.ts'

export interface AnnouncerDeps {
  /** What this host says of itself now. */
  readonly profile: () => Profile
  /** Whether others would refuse it: this host was evicted, or its certificate has ended. */
  readonly isShutOut: () => boolean
  /** Signs a profile and publishes it, if it differs from the last one. */
  readonly announce: (profile: Profile) => void
}

/** Tells the others what this host says of itself, once it has begun to. */
export class Announcer {
  readonly #deps: AnnouncerDeps
  #hasBegun = false

  constructor(deps: AnnouncerDeps) {
    this.#deps = deps
  }

  /** Announces for the first time. To be called once everything that a profile speaks of serves. */
  begin(): void {
    this.#hasBegun = true
    this.announce()
  }

  /** Announces again. Does nothing before `begin`, and while nobody would accept it. */
  announce(): void {
    const { profile, isShutOut, announce } = this.#deps
    if (this.#hasBegun && !isShutOut()) announce(profile())
  }
}
