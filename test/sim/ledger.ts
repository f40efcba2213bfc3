import { hash } from 'node:crypto'
import type { PeerKey } from '../../src/identity/index.ts'
import type { RecordSet } from '../../src/registry/record-set.ts'

export interface Version {
  readonly epoch: bigint
  readonly seq: bigint
}

export interface Signed extends Version {
  readonly owner: PeerKey
  /** Fingerprint of what the workloads of the owner had registered when it signed. */
  readonly content: string
}

interface Store {
  greatest: Version
  /** Records that ended, but not yet in a state that outranks all before it. */
  readonly ending: Set<string>
  readonly endedAt: Map<string, Version>
}

/** What is true: every head that an owner has signed, what was registered then, and when each record ended. */
export class Ledger {
  readonly #signed = new Map<string, Signed>()
  readonly #books = new Map<PeerKey, Store>()

  noteEnd(owner: PeerKey, registrationId: string): void {
    this.#ledger(owner).ending.add(registrationId)
  }

  noteSigned(bytes: Uint8Array, signed: Signed): void {
    this.#signed.set(keyOf(bytes), signed)
    const ledger = this.#ledger(signed.owner)
    if (compare(signed, ledger.greatest) <= 0) return
    ledger.greatest = signed
    for (const id of ledger.ending) ledger.endedAt.set(id, signed)
    ledger.ending.clear()
  }

  /** What an owner signed with these bytes; undefined if nobody did. */
  signed(bytes: Uint8Array): Signed | undefined {
    return this.#signed.get(keyOf(bytes))
  }

  /** The first version of its owner's state without this record. */
  endedAt(owner: PeerKey, registrationId: string): Version | undefined {
    return this.#ledger(owner).endedAt.get(registrationId)
  }

  #ledger(owner: PeerKey): Store {
    let ledger = this.#books.get(owner)
    if (ledger === undefined) {
      ledger = { greatest: { epoch: 0n, seq: 0n }, ending: new Set(), endedAt: new Map() }
      this.#books.set(owner, ledger)
    }
    return ledger
  }
}

export function compare(a: Version, b: Version): number {
  if (a.epoch !== b.epoch) return a.epoch < b.epoch ? -1 : 1
  if (a.seq !== b.seq) return a.seq < b.seq ? -1 : 1
  return 0
}

/** Says which records there are and at which of their versions, without any hash of the registry. */
export function fingerprint(records: Iterable<readonly [id: string, version: string]>): string {
  const lines = Array.from(records, ([id, version]) => `${id} ${version}`)
  return hash('sha256', lines.sort().join('\n'), 'hex')
}

const FINGERPRINTS = new WeakMap<RecordSet, string>()

/** The fingerprint of a set as a replica holds it. */
export function fingerprintOf(set: RecordSet): string {
  let known = FINGERPRINTS.get(set)
  if (known === undefined) {
    known = fingerprint([...set].map(({ value }) => [value.registrationId, value.labels['version'] ?? '']))
    FINGERPRINTS.set(set, known)
  }
  return known
}

// The bytes themselves: each host asks about each head, and a hash takes longer than the text.
function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}
