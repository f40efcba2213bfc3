import { type Logger, WarrenError } from '../core/index.ts'
import type { Profile } from '../registry/index.ts'

export interface AnnouncerDeps {
  /** The present profile of this host. */
  readonly profile: () => Profile
  /** Whether others would refuse any profile: this host was evicted, or its certificate has expired. */
  readonly isShutOut: () => boolean
  /**
   * Signs a profile and publishes it, if it differs from the last one. Throws for a profile that other hosts would refuse; then
   * the last one stays in force.
   */
  readonly announce: (profile: Profile) => void
  readonly log: Logger
}

/**
 * Announces the profile of this host to the others, within the limits of what they accept.
 *
 * A profile that they would refuse is not published: it would hide this host from all of them. Then the last valid one stays, an
 * error is logged once for each reason, and `problem` holds the reason until the next valid one.
 */
export class Announcer {
  readonly #deps: AnnouncerDeps
  #hasBegun = false
  #problem: string | undefined

  constructor(deps: AnnouncerDeps) {
    this.#deps = deps
  }

  /** The reason why others do not know the present state of this host; undefined if they do. */
  get problem(): string | undefined {
    return this.#problem
  }

  /**
   * Announces for the first time, once everything in the profile is served. Throws for a profile that others would refuse: there
   * is no earlier one that could stay.
   */
  begin(): void {
    const { profile, isShutOut, announce } = this.#deps
    this.#hasBegun = true
    if (!isShutOut()) announce(profile())
  }

  /** Announces again. Does nothing before `begin`, and while no host would accept it. Never throws. */
  announce(): void {
    const { profile, isShutOut, announce, log } = this.#deps
    if (!this.#hasBegun || isShutOut()) return
    try {
      announce(profile())
      if (this.#problem !== undefined) log.info('this host announces its state again')
      this.#problem = undefined
    } catch (err) {
      const { message } = WarrenError.from(err)
      if (message !== this.#problem) log.error('this host cannot announce its state', { err })
      this.#problem = message
    }
  }
}
