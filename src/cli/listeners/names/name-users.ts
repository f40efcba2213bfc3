import { defaultSource } from '../../../client/index.ts'
import { ErrorCode, WarrenError } from '../../../core/index.ts'

/** How the programs of a user are connected: as a source of their own, or as that of everybody. */
export type UserSource = { readonly as: string } | 'shared'

export interface NameUsersOptions {
  /** The shared source. @default SCOPE.user.YOU.default, in the scope of each destination */
  readonly as?: string | undefined
  /** Users whose programs are connected. */
  readonly users: ReadonlyMap<number, UserSource>
  /** Undefined: no others. Else programs of every other user are connected too, as SCOPE.user.NAME.default of this user's name. */
  readonly nameOf: ((uid: number) => Promise<string | undefined>) | undefined
}

/** What a name of a user and a component of an address have in common. */
const PLAIN_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/
/** What stands for users without such a name. */
const NUMBERED = /^uid-\d+$/

/** Who is connected at a name, and as whom. */
export class NameUsers {
  readonly #options: NameUsersOptions

  constructor(options: NameUsersOptions) {
    this.#options = options
  }

  /** Whether users have sources of their own. Then a question that comes by a resolver does not say who will connect. */
  get haveOwn(): boolean {
    const { users, nameOf } = this.#options
    return nameOf !== undefined || [...users.values()].some(one => one !== 'shared')
  }

  /** The source of everybody who has none of their own. */
  sharedSource(destination: string): string {
    return this.#options.as ?? defaultSource(destination)
  }

  /** The source of a user's programs. Rejects with PERMISSION_DENIED for a user who is not connected. */
  async sourceOf(uid: number, destination: string): Promise<string> {
    const { users, nameOf } = this.#options
    const known = users.get(uid)
    if (known !== undefined) return known === 'shared' ? this.sharedSource(destination) : known.as
    if (nameOf !== undefined) {
      const own = defaultSource(destination, componentOf(uid, await nameOf(uid)))
      // Another user may have nearly the same name as the one who runs this: a dot counts as a dash.
      return own === this.sharedSource(destination) ? defaultSource(destination, componentOf(uid)) : own
    }
    throw new WarrenError(ErrorCode.PermissionDenied, `uid ${uid} may not use these names`, {
      hint: `Give --allow-uid ${uid} if that user's programs may use your identity, or --allow-uid ${uid}=ADDRESS for one of their own.`
    })
  }
}

/** Different for each user, whatever their names are. */
function componentOf(uid: number, name = ''): string {
  return PLAIN_NAME.test(name) && !NUMBERED.test(name) ? name : `uid-${uid}`
}
