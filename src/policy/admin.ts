import type { Pattern, PeerKey } from '../identity/index.ts'

/** `owner` may do all, also change admins; `admin` changes what is within its scopes; `observer` changes nothing. */
export type Role = 'owner' | 'admin' | 'observer'

/** Public key of an admin, in the text form of a PeerId; it is never the key of a host. */
export type AdminKey = PeerKey

/** What an owner gives to the holder of a key. */
export interface AdminGrant {
  /** Unique in the set and never used again. */
  readonly id: string
  readonly key: AdminKey
  readonly name: string
  readonly role: Role
  /** Of an admin; empty for the other roles. */
  readonly scopes: readonly string[]
  readonly reason: string
  readonly createdAtMs: number
}

/** The end of all rights of a key. Of its set the named version still counts, and no other: dates are not asked. */
export interface AdminRemoval {
  /** Unique in the set and never used again. */
  readonly id: string
  readonly key: AdminKey
  /** Zero: none of its statements counts. */
  readonly sequence: bigint
  /** Hex SHA-256 of that version; empty for none. */
  readonly sha256: string
  readonly reason: string
  readonly createdAtMs: number
}

/** Takes back a statement of another admin. */
export interface Withdrawal {
  /** Unique in the set and never used again. */
  readonly id: string
  readonly author: AdminKey
  /** Its id in the set of its author, or STRICT. */
  readonly statement: string
  readonly reason: string
  readonly createdAtMs: number
}

/** What a withdrawal names to take back that an admin made entries strict. */
export const STRICT = 'strict'

/** The name of the root of policy: the first owner, whose key every host knows from its join on. */
export const ROOT_NAME = 'founder'

export const MAX_ADMIN_NAME_LENGTH = 32
export const MAX_ADMIN_SCOPES = 32

/** Whether a text can be the name of an admin. Ids of statements are NAME/ID. */
export function isAdminName(name: string): boolean {
  return name !== ROOT_NAME && name.length <= MAX_ADMIN_NAME_LENGTH && /^[a-z][a-z0-9-]*$/.test(name)
}

/** Whether everything that a pattern names is in one of these scopes: a wildcard for the scope never is. */
export function isWithinScopes({ matchers: [scope] }: Pattern, scopes: readonly string[]): boolean {
  return !scope.any && scope.names.every(name => scopes.includes(name))
}
