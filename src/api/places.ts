import { accountOf, type LocalUser } from '../attest/index.ts'
import { Quota } from '../core/index.ts'

/**
 * Counts the connections that users have, up to a maximum for one user and one for all.
 *
 * Processes that are not of the host have half of all at most: root of a container can be any number of users.
 */
export class Places {
  readonly #all: Quota<string>
  readonly #outside: Quota<'outside'>

  constructor(perUser: number, total: number) {
    this.#all = new Quota(perUser, total)
    const half = Math.ceil(total / 2)
    this.#outside = new Quota(half, half)
  }

  /** Takes a place for `user` and returns the function that frees it, or undefined if there is none. */
  take(user: LocalUser): (() => void) | undefined {
    const own = this.#all.take(accountOf(user))
    if (own === undefined || user.view.isOfHost) return own
    const share = this.#outside.take('outside')
    if (share === undefined) {
      own()
      return undefined
    }
    return () => {
      own()
      share()
    }
  }

  /** The number of places taken by all users. */
  get size(): number {
    return this.#all.size
  }
}
