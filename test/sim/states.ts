import { hash } from 'node:crypto'
import type { PeerKey } from '../../src/identity/index.ts'
import type { Entry } from '../../src/registry/state.ts'
import { fingerprintOf } from './ledger.ts'

/** States remembered by their digests; the oldest is forgotten first. */
const MAX_STATES = 50_000
const SUM_BYTES = 16

/** What one replica holds, as one sum over its entries that does not go by anything the registry derives. */
export class HeldState {
  readonly #parts = new Map<PeerKey, Buffer>()
  readonly #sum = Buffer.alloc(SUM_BYTES)

  /** The entry of an owner is this now. */
  set(owner: PeerKey, entry: Entry | undefined): void {
    const before = this.#parts.get(owner)
    if (before !== undefined) this.#add(before)
    this.#parts.delete(owner)
    if (entry === undefined) return
    const part = partOf(entry)
    this.#parts.set(owner, part)
    this.#add(part)
  }

  get text(): string {
    return `${this.#parts.size} ${this.#sum.toString('base64')}`
  }

  // Adding a part a second time takes it out.
  #add(part: Buffer): void {
    for (let at = 0; at < SUM_BYTES; at += 1) this.#sum[at]! ^= part[at]!
  }
}

/** Which state each digest stood for, over all replicas and all times. */
export class StateStore {
  readonly #byDigest = new Map<string, { readonly machine: string; readonly state: string }>()

  /** Who held another state under this digest; undefined if nobody did. */
  conflict(digest: Uint8Array, state: string, machine: string): string | undefined {
    const key = Buffer.from(digest).toString('latin1')
    const known = this.#byDigest.get(key)
    if (known !== undefined) return known.state === state ? undefined : known.machine
    this.#byDigest.set(key, { machine, state })
    if (this.#byDigest.size > MAX_STATES) {
      const oldest = this.#byDigest.keys().next()
      if (oldest.done !== true) this.#byDigest.delete(oldest.value)
    }
    return undefined
  }
}

/** By what is held: every host holds the same a moment later. */
const PARTS = new Map<string, Buffer>()
const MAX_PARTS = 20_000

function partOf({ owner, sealed, set }: Entry): Buffer {
  const { bytes } = sealed
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  const line = `${owner} ${text} ${fingerprintOf(set)}`
  let part = PARTS.get(line)
  if (part === undefined) {
    part = hash('sha256', line, 'buffer').subarray(0, SUM_BYTES)
    if (PARTS.size >= MAX_PARTS) PARTS.clear()
    PARTS.set(line, part)
  }
  return part
}
