import { createHash } from 'node:crypto'
import type { Pattern, Revocation } from '../../identity/index.ts'
import { type AdminKey, isWithinScopes, STRICT } from '../admin.ts'
import type { Bundle, Content } from '../bundle.ts'
import type { Rule } from '../rule.ts'
import { type Admin, adminTree, type HeldSets } from './admin-tree.ts'

/** Where a statement comes from. */
export interface Origin {
  readonly author: AdminKey
  /** Its id in the set of its author. */
  readonly id: string
  readonly list: StatementList
  /** The reason why it has no effect, as one clause. Undefined: it has. */
  readonly withoutEffect: string | undefined
}

export type StatementList = 'rules' | 'entries' | 'revocations' | 'invariants'
const LISTS: readonly StatementList[] = ['rules', 'entries', 'revocations', 'invariants']

/** What all sets together say. */
export interface InForce {
  /** What is evaluated. It is the bundle of the root itself where no other admin says anything. Undefined: there is none yet. */
  readonly bundle: Bundle | undefined
  /** Oldest first, the root before all. */
  readonly admins: readonly Admin[]
  /** By `originKey`. */
  readonly origins: ReadonlyMap<string, Origin>
  /** 64 hex digits: the same on two hosts if and only if the same versions count there, but for the newest of the root. */
  readonly digest: string
}

/**
 * A key of `origins`, of the id that people see: that of the root's statements as it is, NAME/ID for those of others. Nothing keeps
 * a set from using one id in two lists.
 */
export function originKey(list: StatementList, id: string): string {
  return `${list} ${id}`
}

type Statement = Content[StatementList][number]

/**
 * Folds the sets of all admins into one policy: the same sets give the same policy, in whatever order they came.
 *
 * Each statement is checked by itself: one of an admin counts within its scopes only, and none of an observer does. A statement
 * that another admin has withdrawn does not count. A denial and a revocation of one set beat the permissions of all sets, and so
 * does an invariant.
 */
export function foldSets(held: HeldSets): InForce {
  const admins = adminTree(held)
  const digest = digestOf(admins, held)
  const only = admins.length === 1 && admins[0]?.removal === undefined
  if (only && admins[0]?.set?.withdrawals?.length === 0) {
    return { bundle: held.root, admins, origins: originsOf(held.root, held.rootKey), digest }
  }
  const withdrawn = withdrawals(admins)
  const origins = new Map<string, Origin>()
  const lists: { [L in StatementList]: Content[L][number][] } = {
    rules: [],
    entries: [],
    revocations: [],
    invariants: []
  }
  let strict = false
  let issuedAtMs = 0
  for (const admin of admins) {
    const { set, key } = admin
    if (set === undefined) continue
    issuedAtMs = Math.max(issuedAtMs, set.issuedAtMs)
    if (set.strict && admin.role === 'owner' && !isLifted(admin, withdrawn)) strict = true
    for (const list of LISTS) {
      for (const statement of set[list]) {
        const id = key === held.rootKey ? statement.id : `${admin.name}/${statement.id}`
        const withoutEffect = whyWithout(admin, statement, withdrawn)
        origins.set(originKey(list, id), { author: key, id: statement.id, list, withoutEffect })
        if (withoutEffect !== undefined) continue
        const shown = key === held.rootKey ? statement : { ...statement, id, by: admin.name }
        ;(lists[list] as Statement[]).push(Object.freeze(shown))
      }
    }
  }
  const { root } = held
  const bundle: Bundle | undefined = root && {
    trustDomain: root.trustDomain,
    version: root.version,
    sha256: root.sha256,
    issuedAtMs,
    isBeginning: root.isBeginning,
    rules: Object.freeze([...lists.rules, ...lists.invariants.map(denialOf)]),
    entries: Object.freeze(lists.entries),
    strict,
    revocations: Object.freeze(lists.revocations),
    invariants: Object.freeze(lists.invariants),
    admins: root.admins ?? [],
    adminRemovals: root.adminRemovals ?? [],
    withdrawals: root.withdrawals ?? [],
    signed: root.signed
  }
  return { bundle: bundle && Object.freeze(bundle), admins, origins, digest }
}

/** The role of a key at present; undefined for one that has none, or whose rights have ended. */
export function roleOf({ admins }: Pick<InForce, 'admins'>, key: AdminKey): Admin['role'] | undefined {
  const admin = admins.find(one => one.key === key)
  return admin?.removal === undefined ? admin?.role : undefined
}

/** Whether the holder of a key may read flows and audit of the whole mesh. An admin of scopes may not: others are in them too. */
export function mayObserve(inForce: Pick<InForce, 'admins'>, key: AdminKey): boolean {
  const role = roleOf(inForce, key)
  return role === 'owner' || role === 'observer'
}

// Of an owner who has rights the word stands until that owner takes it back: it has no id by which a later one differs.
function isLifted(owner: Admin, withdrawn: Withdrawn): boolean {
  return owner.removal !== undefined && withdrawn(owner, STRICT, undefined)
}

type Withdrawn = (author: Admin, statement: string, of: Statement | undefined) => boolean

// An admin withdraws what other admins of its scopes state, and nothing of an owner.
function withdrawals(admins: readonly Admin[]): Withdrawn {
  const by = new Map<string, Admin[]>()
  for (const admin of admins) {
    for (const { author, statement } of admin.set?.withdrawals ?? []) {
      const key = `${author} ${statement}`
      by.set(key, [...(by.get(key) ?? []), admin])
    }
  }
  return (author, statement, of) =>
    by
      .get(`${author.key} ${statement}`)
      ?.some(
        one =>
          one.role === 'owner' ||
          (one.role === 'admin' && author.role === 'admin' && of !== undefined && isOutside(one, of) === undefined)
      ) === true
}

function whyWithout(admin: Admin, statement: Statement, withdrawn: Withdrawn): string | undefined {
  if (admin.role === 'observer') return 'an observer changes nothing'
  if (admin.role === 'admin') {
    const outside = isOutside(admin, statement)
    if (outside !== undefined) return outside
  }
  return withdrawn(admin, statement.id, statement) ? 'another admin has withdrawn it' : undefined
}

/** The reason why a statement of an admin would be outside of its scopes, as one clause; undefined if it is within. */
export function isOutside({ scopes }: Pick<Admin, 'scopes'>, statement: Partial<Statement>): string | undefined {
  const patterns = patternsOf(statement)
  if (patterns === undefined) return 'only an owner evicts hosts and revokes keys'
  const outside = patterns.find(pattern => !isWithinScopes(pattern, scopes))
  return outside === undefined
    ? undefined
    : `${outside.text} is not within ${scopes.length === 1 ? 'scope' : 'scopes'} ${scopes.join(', ')}`
}

/** Undefined: it names more than addresses. */
function patternsOf(statement: Partial<Statement>): readonly Pattern[] | undefined {
  if ('source' in statement && 'destination' in statement) {
    return [statement.source, statement.destination].filter(pattern => pattern !== undefined)
  }
  if ('grants' in statement && statement.grants !== undefined) return [statement.grants]
  const { machine, peers, keys, pattern } = statement as Partial<Revocation>
  return machine === undefined && peers?.length === 0 && keys?.length === 0 && pattern !== undefined
    ? [pattern]
    : undefined
}

// A signer refuses what breaks its own invariants; against the rules of others, an invariant is a denial.
function denialOf({
  id,
  source,
  destination,
  protocols,
  reason,
  createdAtMs,
  by
}: Content['invariants'][number]): Rule {
  return Object.freeze({
    id,
    effect: 'deny',
    source,
    destination,
    protocols,
    notBeforeMs: 0,
    untilMs: 0,
    reason: reason === '' ? 'an invariant' : `an invariant: ${reason}`,
    createdAtMs,
    ofInvariant: true,
    ...(by === undefined ? {} : { by })
  })
}

function originsOf(root: Bundle | undefined, author: AdminKey): Map<string, Origin> {
  const origins = new Map<string, Origin>()
  for (const list of LISTS) {
    for (const { id } of root?.[list] ?? [])
      origins.set(originKey(list, id), { author, id, list, withoutEffect: undefined })
  }
  return origins
}

// The newest bundle of the root has a version of its own in what hosts announce.
function digestOf(admins: readonly Admin[], { rootKey }: HeldSets): string {
  const lines = admins
    .filter(({ key, removal }) => key !== rootKey || removal !== undefined)
    .map(({ key, set, isAwaited }) => `${key} ${isAwaited || set === undefined ? '-' : `${set.version} ${set.sha256}`}`)
  return createHash('sha256').update(lines.toSorted().join('\n')).digest('hex')
}
