import { type Clock, ErrorCode, TokenBuckets, WarrenError } from '../../core/index.ts'
import type { UserDatabase } from '../user-database.ts'
import type { ContainerFacts } from './facts.ts'
import { findContainer } from './find.ts'

/** Look-ups for one sender at once, and again each second: the files of a user are as long as the user likes. */
const BURST = 128
export const PER_SECOND = 16
const MAX_SENDERS = 1_024
/** A file system that a user made need not answer. */
const MAX_LOOKUPS = 64

/** Finds the containers of processes: those of root, and those of users, in a line of each. */
export class ContainerFinder {
  readonly #clock: Clock
  readonly #users: Pick<UserDatabase, 'usersOf'>
  readonly #find: typeof findContainer
  readonly #used = new TokenBuckets<string>({ burst: BURST, perSecond: PER_SECOND, maxKeys: MAX_SENDERS })
  readonly #lines: { readonly [kind in 'root' | 'users']: { last: Promise<unknown>; waiting: number } } = {
    root: { last: Promise.resolve(), waiting: 0 },
    users: { last: Promise.resolve(), waiting: 0 }
  }

  constructor(clock: Clock, users: Pick<UserDatabase, 'usersOf'>, find: typeof findContainer = findContainer) {
    this.#clock = clock
    this.#users = users
    this.#find = find
  }

  /** The container of a process, made by the runtime of `uid`, on the account of `sender`. Throws LIMIT_EXCEEDED. */
  async find(pid: number, uid: number, sender: string): Promise<ContainerFacts | undefined> {
    const now = this.#clock.monotonicMs()
    const line = this.#lines[uid === 0 ? 'root' : 'users']
    if (line.waiting >= MAX_LOOKUPS || this.#used.left(sender, now) < 1) {
      throw new WarrenError(
        ErrorCode.LimitExceeded,
        `too many containers of uid ${uid} are looked for in a short time`,
        {
          limit: 'container_lookups',
          hint: 'Try again in a moment.'
        }
      )
    }
    this.#used.use(sender, 1, now)
    line.waiting += 1
    const turn = line.last.then(() => this.#find(pid, uid).catch(() => undefined))
    line.last = turn
    try {
      const found = await turn
      return found === undefined ? undefined : { ...found, ownerUid: uid, owners: await this.#users.usersOf(uid) }
    } finally {
      line.waiting -= 1
    }
  }
}
