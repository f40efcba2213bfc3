import { hash } from 'node:crypto'
import type { PeerKey } from '../identity/index.ts'

export const GROUPS = 64
export const GROUP_HASH_BYTES = 8

/** The line of a digest about one owner. */
export interface DigestLine {
  readonly owner: PeerKey
  readonly ownerKey: Uint8Array
  readonly epoch: bigint
  readonly seq: bigint
  /** 16 hex digits. */
  readonly digest: string
}

/** 64 hashes over the heads held; an update costs only the groups that changed. */
export class DigestTable {
  readonly #groups: Array<Map<PeerKey, DigestLine>> = Array.from({ length: GROUPS }, () => new Map())
  readonly #hashes: Array<Buffer | undefined> = new Array<Buffer | undefined>(GROUPS).fill(undefined)

  set(line: DigestLine): void {
    const group = groupOf(line.ownerKey)
    this.#groups[group]?.set(line.owner, line)
    this.#hashes[group] = undefined
  }

  delete(owner: PeerKey, ownerKey: Uint8Array): void {
    const group = groupOf(ownerKey)
    this.#groups[group]?.delete(owner)
    this.#hashes[group] = undefined
  }

  /** 64 × 8 bytes. Equal hashes mean equal heads, and, since each head commits to its set, equal state. */
  hashes(): Buffer {
    return Buffer.concat(this.#groups.map((group, number) => this.#hash(group, number)))
  }

  /** The owners in the groups whose hash differs from that in `hashes`. */
  *differing(hashes: Uint8Array): Generator<DigestLine, void, undefined> {
    for (const [number, group] of this.#groups.entries()) {
      const theirs = hashes.subarray(number * GROUP_HASH_BYTES, (number + 1) * GROUP_HASH_BYTES)
      if (!this.#hash(group, number).equals(theirs)) yield* group.values()
    }
  }

  #hash(group: ReadonlyMap<PeerKey, DigestLine>, number: number): Buffer {
    let digest = this.#hashes[number]
    if (digest === undefined) {
      const lines = [...group.values()].map(({ owner, epoch, seq, digest }) => `${owner} ${epoch} ${seq} ${digest}\n`)
      digest = hash('sha256', lines.sort().join(''), 'buffer').subarray(0, GROUP_HASH_BYTES)
      this.#hashes[number] = digest
    }
    return digest
  }
}

/** The number of the group of an owner. */
export function groupOf(ownerKey: Uint8Array): number {
  return (hash('sha256', ownerKey, 'buffer')[0] ?? 0) % GROUPS
}
