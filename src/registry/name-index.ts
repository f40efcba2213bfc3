import type { Address, PeerKey } from '../identity/index.ts'
import type { StoredRecord } from './record.ts'

/** The records of all owners by the four components that a workload chooses, so that a connect need not scan them all. */
export class NameIndex {
  readonly #names = new Map<string, Map<StoredRecord, PeerKey>>()

  add(owner: PeerKey, record: StoredRecord): void {
    const name = nameOf(record.value.address)
    const records = this.#names.get(name)
    if (records === undefined) this.#names.set(name, new Map([[record, owner]]))
    else records.set(record, owner)
  }

  remove(record: StoredRecord): void {
    const name = nameOf(record.value.address)
    const records = this.#names.get(name)
    records?.delete(record)
    if (records?.size === 0) this.#names.delete(name)
  }

  get(name: string): Iterable<readonly [StoredRecord, PeerKey]> {
    return this.#names.get(name) ?? []
  }
}

/** `scope.appGroup.appIdentity.resourceGroup`. */
export function nameOf({ scope, appGroup, appIdentity, resourceGroup }: Omit<Address, 'machine'>): string {
  return `${scope}.${appGroup}.${appIdentity}.${resourceGroup}`
}
