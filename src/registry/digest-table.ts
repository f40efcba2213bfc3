import { hash } from 'node:crypto'
import type { PeerKey } from '../identity/index.ts'

export const GROUPS = 64
export const GROUP_HASH_BYTES = 8

/** An owner in a table. */
export interface OwnerLine {
  readonly owner: PeerKey
  readonly ownerKey: Uint8Array
}

/** The line of a digest about one owner. */
export interface DigestLine extends OwnerLine {
  readonly epoch: bigint
  readonly seq: bigint
  /** 16 hex digits. */
  readonly digest: string
}

/** 64 hashes over the owners held; an update costs only the groups that changed. */
export class GroupTable<Line extends OwnerLine> {
  readonly #textOf: (line: Line) => string
  readonly #groups: Array<Map<PeerKey, Line>> = Array.from({ length: GROUPS }, () => new Map())
  readonly #hashes: Array<Buffer | undefined> = new Array<Buffer | undefined>(GROUPS).fill(undefined)

  constructor(textOf: (line: Line) => string) {
    this.#textOf = textOf
  }

  set(line: Line): void {
    const group = groupOf(line.ownerKey)
    this.#groups[group]?.set(line.owner, line)
    this.#hashes[group] = undefined
  }

  delete(owner: PeerKey, ownerKey: Uint8Array): void {
    const group = groupOf(ownerKey)
    this.#groups[group]?.delete(owner)
    this.#hashes[group] = undefined
  }

  /** 64 × 8 bytes. Equal hashes mean equal lines. */
  hashes(): Buffer {
    return Buffer.concat(this.#groups.map((group, number) => this.#hash(group, number)))
  }

  /** The owners in the groups whose hash differs from that in `hashes`. */
  *differing(hashes: Uint8Array): Generator<Line, void, undefined> {
    for (const [number, group] of this.#groups.entries()) {
      if (!this.#hash(group, number).equals(hashOf(hashes, number))) yield* group.values()
    }
  }

  /** The owners of each group, in the order of their keys. */
  ordered(): Line[][] {
    return this.#groups.map(group => [...group.values()].sort((a, b) => (a.owner < b.owner ? -1 : 1)))
  }

  /** The numbers of the groups whose hash is that in `hashes`. */
  equal(hashes: Uint8Array): number[] {
    const differing = (number: number): boolean =>
      !this.#hash(this.#groups[number] ?? new Map(), number).equals(hashOf(hashes, number))
    return [...this.#groups.keys()].filter(number => !differing(number))
  }

  #hash(group: ReadonlyMap<PeerKey, Line>, number: number): Buffer {
    let digest = this.#hashes[number]
    if (digest === undefined) {
      const lines = [...group.values()].map(this.#textOf)
      digest = hash('sha256', lines.sort().join(''), 'buffer').subarray(0, GROUP_HASH_BYTES)
      this.#hashes[number] = digest
    }
    return digest
  }
}

/** Equal hashes mean equal heads, and, since each head commits to its set, equal state. */
export class DigestTable extends GroupTable<DigestLine> {
  constructor() {
    super(({ owner, epoch, seq, digest }) => `${owner} ${epoch} ${seq} ${digest}\n`)
  }
}

function hashOf(hashes: Uint8Array, group: number): Uint8Array {
  return hashes.subarray(group * GROUP_HASH_BYTES, (group + 1) * GROUP_HASH_BYTES)
}

/** The number of the group of an owner. */
export function groupOf(ownerKey: Uint8Array): number {
  return (hash('sha256', ownerKey, 'buffer')[0] ?? 0) % GROUPS
}
