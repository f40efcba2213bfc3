import { type Clock, ErrorCode, TokenBuckets, WarrenError } from '../../core/index.ts'
import type { UserDatabase } from '../user-database.ts'
import type { ContainerFacts, RuntimeSays } from './facts.ts'
import { findContainer } from './find.ts'

/** Look-ups for one sender at once, and again each second: the files of a user are as long as the user likes. */
const BURST = 128
export const PER_SECOND = 16
/** One that takes longer counts as so many more: the files of a user are as long as the user likes, and root may have many. */
const MS_PER_LOOKUP = 25
/** What files of root's runtimes may take, which nobody made to be slow. */
const FREE_MS_OF_ROOT = 2 * MS_PER_LOOKUP
const MAX_SENDERS = 1_024
/** A file system that a user made need not answer. */
const MAX_LOOKUPS = 1_024
const MAX_OF_SENDER = 16

/** Finds the container of a process, made by the runtime of a user. */
export type FindContainer = (pid: number, uid: number) => Promise<RuntimeSays | undefined>

interface Line {
  last: Promise<unknown>
  waiting: number
}

/** Finds the containers of processes: those of root, and those of users, in a line of each, where senders take turns. */
export class ContainerFinder {
  readonly #clock: Clock
  readonly #users: Pick<UserDatabase, 'usersOf'>
  readonly #find: FindContainer
  readonly #used = new TokenBuckets<string>({ burst: BURST, perSecond: PER_SECOND, maxKeys: MAX_SENDERS })
  readonly #lines: { readonly [kind in 'root' | 'users']: Line } = { root: newLine(), users: newLine() }
  readonly #senders = new Map<string, Line>()

  constructor(clock: Clock, users: Pick<UserDatabase, 'usersOf'>, find: FindContainer = findContainer) {
    this.#clock = clock
    this.#users = users
    this.#find = find
  }

  /** The container of a process, made by the runtime of `uid`, on the account of `sender`. Throws LIMIT_EXCEEDED. */
  async find(pid: number, uid: number, sender: string): Promise<ContainerFacts | undefined> {
    const now = this.#clock.monotonicMs()
    const line = this.#lines[uid === 0 ? 'root' : 'users']
    const own = this.#senders.get(sender) ?? newLine()
    if (line.waiting >= MAX_LOOKUPS || own.waiting >= MAX_OF_SENDER || this.#used.left(sender, now) < 1) {
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
    this.#senders.set(sender, own)
    line.waiting += 1
    own.waiting += 1
    // In the line of all there is one of each sender at a time: nobody waits for more than one of another.
    const turn = inLine(own, () => inLine(line, () => this.#lookUp(pid, uid, sender)))
    try {
      const found = await turn
      return found === undefined ? undefined : { ...found, ownerUid: uid, owners: await this.#users.usersOf(uid) }
    } finally {
      line.waiting -= 1
      own.waiting -= 1
      if (own.waiting === 0) this.#senders.delete(sender)
    }
  }

  async #lookUp(pid: number, uid: number, sender: string): Promise<RuntimeSays | undefined> {
    const begunMs = this.#clock.monotonicMs()
    try {
      return await this.#find(pid, uid)
    } catch (err) {
      // It took too long. Anything else is a file that says nothing.
      if (err instanceof WarrenError) throw err
      return undefined
    } finally {
      const now = this.#clock.monotonicMs()
      const charged = Math.max(0, now - begunMs - (uid === 0 ? FREE_MS_OF_ROOT : 0))
      this.#used.use(sender, charged / MS_PER_LOOKUP, now)
    }
  }
}

function newLine(): Line {
  return { last: Promise.resolve(), waiting: 0 }
}

/** Does `work` after all that is in the line, whatever became of that. */
function inLine<T>(line: Line, work: () => Promise<T>): Promise<T> {
  const turn = line.last.then(work)
  line.last = turn.catch(() => {})
  return turn
}
