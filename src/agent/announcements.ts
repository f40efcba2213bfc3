import { type Logger, WarrenError } from '../core/index.ts'
import type { Profile } from '../registry/index.ts'

export interface AnnouncementsDeps {
  /** Signs and spreads it. Throws, and then leaves what was said before in force, for what other hosts would refuse. */
  readonly announce: (profile: Profile) => void
  readonly log: Logger
}

/**
 * What this host says of itself, held to what the others take.
 *
 * What they would refuse is not said: it would hide this host from all of them. Then the last good word stays, an error is logged once
 * for each reason, and `problem` says why until the next word is a good one.
 */
export class Announcements {
  readonly #deps: AnnouncementsDeps
  #problem: string | undefined

  constructor(deps: AnnouncementsDeps) {
    this.#deps = deps
  }

  /** Why others do not know the present state of this host; undefined if they do. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** The first word. Throws what `announce` throws: there is nothing said before that could stay. */
  begin(profile: Profile): void {
    this.#deps.announce(profile)
  }

  /** Any later one. Never throws. */
  publish(profile: Profile): void {
    const { announce, log } = this.#deps
    try {
      announce(profile)
      if (this.#problem !== undefined) log.info('what this host says of itself is announced again', {})
      this.#problem = undefined
    } catch (err) {
      const { message } = WarrenError.from(err)
      if (message !== this.#problem) log.error('what this host says of itself is not announced', { err })
      this.#problem = message
    }
  }
}
