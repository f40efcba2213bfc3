import type { AdminKey } from '../admin.ts'
import type { Bundle } from '../bundle.ts'
import { follows, isRemovedByYounger, newest } from './admin-tree.ts'
import { foldSets, type InForce } from './in-force.ts'

/** One version of a set. */
export interface SetVersion {
  readonly key: AdminKey
  readonly version: bigint
  /** Hex. */
  readonly sha256: string
}

/** Versions of one set that removals may name and that are held. A second one matters while owners disagree only. */
const MAX_NAMED = 4

/**
 * The sets that one host holds, and what they say together. Pure: what is put into it was verified before.
 *
 * Replicas that have been offered the same versions hold the same in force, whatever the order, and however often.
 */
export class SetReplica {
  readonly #rootKey: AdminKey
  readonly #versions = new Map<AdminKey, readonly Bundle[]>()
  #root: Bundle | undefined
  #inForce: InForce

  constructor(rootKey: AdminKey) {
    this.#rootKey = rootKey
    this.#inForce = foldSets({ rootKey, root: undefined, versions: this.#versions })
  }

  get inForce(): InForce {
    return this.#inForce
  }

  get rootKey(): AdminKey {
    return this.#rootKey
  }

  /** The newest bundle of the root. */
  setRoot(root: Bundle | undefined): void {
    this.#root = root
    this.#refold()
  }

  /**
   * Whether a version would change anything: it is newer than what is held of an admin, or a removal names it. To be asked before
   * its signature is verified. Sets of unknown keys are never wanted, so that nobody else can fill the store.
   */
  wants({ key, version, sha256 }: SetVersion): boolean {
    const held = this.versionsOf(key)
    if (held.some(one => one.version === version && one.sha256 === sha256)) return false
    if (this.#named(key).some(name => name.version === version && name.sha256 === sha256)) return true
    const admin = this.#inForce.admins.find(one => one.key === key)
    if (admin === undefined || admin.role === 'observer' || key === this.#rootKey) return false
    // An older owner may have removed the one who removes it, and later versions say so; nothing else in them counts.
    if (admin.removal !== undefined && !isRemovedByYounger(this.#inForce.admins, admin)) return false
    const latest = newest(held)
    return latest === undefined || follows({ version, sha256 }, latest)
  }

  /** Takes a verified version that is wanted. */
  put(key: AdminKey, set: Bundle): void {
    this.#versions.set(key, [...this.versionsOf(key), set])
    this.#refold()
  }

  /** Takes verified versions that were held before, in whatever order. */
  restore(sets: ReadonlyArray<readonly [AdminKey, Bundle]>): void {
    for (const [key, set] of sets) this.#versions.set(key, [...this.versionsOf(key), set])
    this.#refold()
  }

  /** What is in force if `set` were the newest of `key`. Changes nothing. */
  preview(key: AdminKey, set: Bundle): InForce {
    const isRoot = key === this.#rootKey
    const versions = new Map(this.#versions)
    if (!isRoot) versions.set(key, [...this.versionsOf(key), set])
    return foldSets({ rootKey: this.#rootKey, root: isRoot ? set : this.#root, versions })
  }

  versionsOf(key: AdminKey): readonly Bundle[] {
    return this.#versions.get(key) ?? []
  }

  /** The newest version of an admin that is held, whether it counts or not. */
  newestOf(key: AdminKey): Bundle | undefined {
    return key === this.#rootKey ? this.#root : newest(this.versionsOf(key))
  }

  /** Every version that is held besides the newest bundle of the root, those of older admins first. */
  held(): Array<SetVersion & { readonly set: Bundle }> {
    return this.#inForce.admins.flatMap(({ key }) =>
      this.versionsOf(key).map(set => ({ key, version: set.version, sha256: set.sha256, set }))
    )
  }

  /** The versions that a replica which holds `theirs` lacks. */
  missing(theirs: readonly SetVersion[]): Array<SetVersion & { readonly set: Bundle }> {
    return this.held().filter(one => {
      if (theirs.some(their => isSame(their, one))) return false
      const isNamed = this.#named(one.key).some(name => isSame(name, one))
      return isNamed || !theirs.some(their => their.key === one.key && follows(their, one.set))
    })
  }

  // A removal may lose its effect with the rights of the owner who stated it: then the newest version counts again, so it stays.
  #refold(): void {
    const fold = (): InForce => foldSets({ rootKey: this.#rootKey, root: this.#root, versions: this.#versions })
    this.#inForce = fold()
    this.#keepNamedRoot()
    let dropped = false
    for (const [key, versions] of this.#versions) {
      const named = this.#named(key)
      const latest = key === this.#rootKey ? undefined : newest(versions)
      const isAdmin = this.#inForce.admins.some(one => one.key === key && one.role !== 'observer')
      const kept = versions.filter(one => isAdmin && (one === latest || named.some(name => isVersion(name, one))))
      if (kept.length === versions.length) continue
      dropped = true
      if (kept.length === 0) this.#versions.delete(key)
      else this.#versions.set(key, kept)
    }
    if (dropped) this.#inForce = fold()
  }

  // Before a newer bundle takes its place.
  #keepNamedRoot(): void {
    const root = this.#root
    if (root === undefined) return
    const held = this.versionsOf(this.#rootKey)
    const isNamed = this.#named(this.#rootKey).some(name => isVersion(name, root))
    if (isNamed && !held.some(one => one.sha256 === root.sha256)) this.#versions.set(this.#rootKey, [...held, root])
  }

  // The versions of a set that removals name, those that count first.
  #named(key: AdminKey): SetVersion[] {
    const { admins } = this.#inForce
    const owners = admins.filter(({ role }) => role === 'owner')
    return [
      ...admins.flatMap(({ removal }) => (removal === undefined ? [] : [removal.removal])),
      ...owners.flatMap(({ set }) => set?.adminRemovals ?? []),
      ...owners.flatMap(owner => this.newestOf(owner.key)?.adminRemovals ?? [])
    ]
      .filter(removal => removal.key === key && removal.sequence > 0n)
      .map(({ sequence, sha256 }) => ({ key, version: sequence, sha256 }))
      .filter((name, at, all) => all.findIndex(one => isSame(one, name)) === at)
      .slice(0, MAX_NAMED)
  }
}

function isVersion({ version, sha256 }: SetVersion, set: Bundle): boolean {
  return version === set.version && sha256 === set.sha256
}

function isSame(a: SetVersion, b: SetVersion): boolean {
  return a.key === b.key && a.version === b.version && a.sha256 === b.sha256
}

/** The versions that count here, of all admins. A removal whose version is not held yet makes none count. */
export function countedSets({ admins }: Pick<InForce, 'admins'>): SetVersion[] {
  return admins.flatMap(({ key, set, isAwaited }) =>
    set === undefined || isAwaited ? [] : [{ key, version: set.version, sha256: set.sha256 }]
  )
}

/** The sets that give an admin its rights, up to the root: without them its own has no effect. */
export function grantingSets(inForce: Pick<InForce, 'admins'>, of: AdminKey): SetVersion[] {
  const keys = new Set([of])
  // It grows while it is read.
  for (const key of keys) {
    for (const { by } of inForce.admins.find(one => one.key === key)?.grants ?? []) keys.add(by)
  }
  keys.delete(of)
  return countedSets(inForce).filter(({ key }) => keys.has(key))
}
