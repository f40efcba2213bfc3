import { type Logger, WarrenError } from '../core/index.ts'
import type { Profile } from '../registry/index.ts'

export interface AnnouncerDeps {
  /** What this host says of itself now. */
  readonly profile: () => Profile
  /** Whether others would refuse it whatever it says: this host was evicted, or its certificate has ended. */
  readonly isShutOut: () => boolean
  /**
   * Signs a profile and publishes it, if it differs from the last one. Throws for what other hosts would refuse, and leaves
   * in force what was said before.
   */
  readonly announce: (profile: Profile) => void
  readonly log: Logger
}

/**
 * Tells the others what this host says of itself, held to what they take.
 *
 * What they would refuse is not said: it would hide this host from all of them. Then the last good word stays, an error is
 * logged once for each reason, and `problem` says why until the next word is a good one.
 */
export class Announcer {
  readonly #deps: AnnouncerDeps
  #hasBegun = false
  #problem: string | undefined

  constructor(deps: AnnouncerDeps) {
    this.#deps = deps
  }

  /** Why others do not know the present state of this host; undefined if they do. */
  get problem(): string | undefined {
    return this.#problem
  }

  /**
   * Announces for the first time, once everything that a profile speaks of serves. Throws for what others would refuse: nothing
   * was said before that could stay.
   */
  begin(): void {
    const { profile, isShutOut, announce } = this.#deps
    this.#hasBegun = true
    if (!isShutOut()) announce(profile())
  }

  /** Announces again. Does nothing before `begin`, and while nobody would accept it. Never throws. */
  announce(): void {
    const { profile, isShutOut, announce, log } = this.#deps
    if (!this.#hasBegun || isShutOut()) return
    try {
      announce(profile())
      if (this.#problem !== undefined) log.info('what this host says of itself is announced again')
      this.#problem = undefined
    } catch (err) {
      const { message } = WarrenError.from(err)
      if (message !== this.#problem) log.error('what this host says of itself is not announced', { err })
      this.#problem = message
    }
  }
}
