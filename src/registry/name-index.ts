import type { Address, PeerKey } from '../identity/index.ts'
import type { StoredRecord } from './record.ts'

const NONE: ReadonlyMap<StoredRecord, PeerKey> = new Map()

/** The records of all owners by the four components that a workload chooses, so that a connect need not scan them all. */
export class NameIndex {
  readonly #names = new Map<string, Map<StoredRecord, PeerKey>>()

  add(owner: PeerKey, record: StoredRecord): void {
    const name = nameOf(record.value.address)
    const records = this.#names.get(name)
    if (records === undefined) this.#names.set(name, new Map([[record, owner]]))
    else records.set(record, owner)
  }

  remove(owner: PeerKey, record: StoredRecord): void {
    const name = nameOf(record.value.address)
    const records = this.#names.get(name)
    if (records === undefined) return
    if (!records.delete(record)) removeEqual(records, owner, record)
    if (records.size === 0) this.#names.delete(name)
  }

  /** Number of records listed, under all names. */
  get size(): number {
    let size = 0
    for (const records of this.#names.values()) size += records.size
    return size
  }

  get(name: string): ReadonlyMap<StoredRecord, PeerKey> {
    return this.#names.get(name) ?? NONE
  }
}

// A bucket that was fetched again holds unchanged records as new objects; the index still has the old ones.
function removeEqual(records: Map<StoredRecord, PeerKey>, owner: PeerKey, { id }: StoredRecord): void {
  for (const [candidate, peer] of records) if (peer === owner && candidate.id === id) records.delete(candidate)
}

/** `scope.appGroup.appIdentity.resourceGroup`. */
export function nameOf({ scope, appGroup, appIdentity, resourceGroup }: Omit<Address, 'machine'>): string {
  return `${scope}.${appGroup}.${appIdentity}.${resourceGroup}`
}
