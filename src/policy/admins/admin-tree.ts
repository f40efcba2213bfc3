import { type AdminGrant, type AdminKey, type AdminRemoval, ROOT_NAME, type Role } from '../admin.ts'
import type { Bundle } from '../bundle.ts'

/** All that a host holds: the newest set of each admin that it has seen, and the versions that removals name. */
export interface HeldSets {
  /** The key that every host knows from its join on, and its newest bundle. */
  readonly rootKey: AdminKey
  readonly root: Bundle | undefined
  /** Of other admins; of the root only a version that its removal names. */
  readonly versions: ReadonlyMap<AdminKey, readonly Bundle[]>
}

/** An admin, with what of its set counts. */
export interface Admin {
  readonly key: AdminKey
  /** Unique: of two admins of one name the younger one has a part of its key in it. */
  readonly name: string
  readonly role: Role
  readonly scopes: readonly string[]
  /** The grants that say so; none for the root. The oldest owner's first. */
  readonly grants: ReadonlyArray<{ readonly by: AdminKey; readonly grant: AdminGrant }>
  /** The removal in force, if it was removed. */
  readonly removal: { readonly by: AdminKey; readonly removal: AdminRemoval } | undefined
  /** The version that counts. Undefined: none, or none is held. */
  readonly set: Bundle | undefined
  /** The version that a removal names is not held yet: until it is, only what takes rights away counts, of another version. */
  readonly isAwaited: boolean
}

/** Admins with a set of their own, the root included; those beyond it, the youngest, have no effect. */
export const MAX_ADMINS = 64

/** The version among these that replaces all others. Two of one sequence are decided by their hashes, alike on every host. */
export function newest(versions: readonly Bundle[]): Bundle | undefined {
  return versions.reduce<Bundle | undefined>(
    (best, one) => (best === undefined || follows(one, best) ? one : best),
    undefined
  )
}

type Versioned = Pick<Bundle, 'version' | 'sha256'>

/** Whether `candidate` replaces `other`, a version of the same set. */
export function follows(candidate: Versioned, other: Versioned): boolean {
  if (candidate.version !== other.version) return candidate.version > other.version
  return candidate.sha256 < other.sha256
}

type Removal = NonNullable<Admin['removal']>
type Removals = ReadonlyMap<AdminKey, Removal>

/**
 * Who is an admin, oldest first: the root, those it added in the order of its set, those they added, and so on.
 *
 * An owner who is older removes younger ones. A younger owner removes an older one as long as it is an owner then: so a lost root
 * can be removed, and of two owners who remove each other the older one stays, on every host alike, whatever the dates say.
 */
export function adminTree(held: HeldSets): readonly Admin[] {
  const ofOlder = new Map<AdminKey, Removal>()
  for (;;) {
    const admins = admit(held, ofOlder)
    const next = removalOfOlder(held, admins, ofOlder)
    if (next === undefined) return admins
    ofOlder.set(next.removal.key, next)
  }
}

/** Whether an admin was removed by one who is younger: then its later versions still say whom it removed. */
export function isRemovedByYounger(admins: readonly Admin[], { key, removal }: Admin): boolean {
  if (removal === undefined) return false
  return admins.findIndex(one => one.key === removal.by) > admins.findIndex(one => one.key === key)
}

function removalOfOlder(held: HeldSets, admins: readonly Admin[], known: Removals): Removal | undefined {
  const owners = admins.filter(({ role }) => role === 'owner')
  // From the youngest on: what counts of a set depends on younger owners first.
  for (const [at, { key: by, set }] of [...owners.entries()].toReversed()) {
    for (const removal of set?.adminRemovals ?? []) {
      if (!owners.slice(0, at).some(({ key }) => key === removal.key)) continue
      if (!isStricter(removal, known.get(removal.key)?.removal)) continue
      const found = { by, removal }
      const after = admit(held, new Map(known).set(removal.key, found))
      if (after.some(({ key, role }) => key === by && role === 'owner')) return found
    }
  }
  return undefined
}

function isStricter(removal: AdminRemoval, than: AdminRemoval | undefined): boolean {
  if (than === undefined) return true
  return removal.sequence === than.sequence ? removal.sha256 < than.sha256 : removal.sequence < than.sequence
}

// `ofOlder`: the removals of owners by younger ones that count.
function admit({ rootKey, root, versions }: HeldSets, ofOlder: Removals): Admin[] {
  const removals = new Map(ofOlder)
  const grants = new Map<AdminKey, Array<Admin['grants'][number]>>([[rootKey, []]])
  const sets = new Map<AdminKey, Pick<Admin, 'set' | 'isAwaited'>>()
  const owners: AdminKey[] = [rootKey]
  // It grows while it is read.
  for (const by of owners) {
    const held = [...(by === rootKey && root !== undefined ? [root] : []), ...(versions.get(by) ?? [])]
    const counted = counting(held, removals.get(by)?.removal)
    sets.set(by, counted)
    for (const grant of counted.set?.admins ?? []) {
      const of = grants.get(grant.key) ?? []
      if (grant.key === rootKey || (of.length === 0 && grants.size >= MAX_ADMINS)) continue
      grants.set(grant.key, [...of, { by, grant }])
      if (grant.role === 'owner' && !owners.includes(grant.key)) owners.push(grant.key)
    }
    for (const removal of counted.set?.adminRemovals ?? []) {
      if (sets.has(removal.key) || !isStricter(removal, removals.get(removal.key)?.removal)) continue
      removals.set(removal.key, { by, removal })
    }
  }
  const names = new Set<string>()
  const others = [...grants.keys()].filter(key => !owners.includes(key))
  return [...owners, ...others].map(key => {
    const all = grants.get(key) ?? []
    const isAdmin = all.some(({ grant }) => grant.role === 'admin')
    const role = owners.includes(key) ? 'owner' : isAdmin ? 'admin' : 'observer'
    const removal = removals.get(key)
    return {
      key,
      name: uniqueName(all[0]?.grant.name ?? ROOT_NAME, key, names),
      role,
      scopes: role === 'admin' ? [...new Set(all.flatMap(({ grant }) => grant.scopes))] : [],
      grants: all,
      removal,
      ...(sets.get(key) ?? counting(isAdmin ? (versions.get(key) ?? []) : [], removal?.removal))
    }
  })
}

function counting(versions: readonly Bundle[], removal: AdminRemoval | undefined): Pick<Admin, 'set' | 'isAwaited'> {
  if (removal === undefined) return { set: newest(versions), isAwaited: false }
  if (removal.sequence === 0n) return { set: undefined, isAwaited: false }
  const named = versions.find(({ version, sha256 }) => version === removal.sequence && sha256 === removal.sha256)
  if (named !== undefined) return { set: named, isAwaited: false }
  const other = newest(versions)
  return { set: other && restricted(other), isAwaited: true }
}

// What takes rights away. Without it a host that lacks the named version would allow what that denies.
function restricted(set: Bundle): Bundle {
  const rules = set.rules.filter(({ effect }) => effect === 'deny')
  return { ...set, rules, entries: [], admins: [], adminRemovals: [], withdrawals: [] }
}

function uniqueName(wanted: string, key: AdminKey, names: Set<string>): string {
  // The end of a key differs; its beginning is the same in all.
  const name = names.has(wanted) ? `${wanted}~${key.slice(-6)}` : wanted
  names.add(name)
  return name
}
