import { NONCE_BYTES } from '../aead/index.ts'

/**
 * Records sealed with one key. AES-GCM is safe for about 2^38 bytes in records of this size; this many of the largest
 * have 2^36.
 */
export const RECORDS_PER_EPOCH = 2 ** 18

const COUNTER_AT = NONCE_BYTES - 4

/** As in TLS 1.3: the counter, aligned right, XORed with a mask that only the two ends know. */
export function nonceOf(mask: Buffer, counter: number): Buffer {
  const nonce = Buffer.from(mask)
  nonce.writeUInt32BE((mask.readUInt32BE(COUNTER_AT) ^ counter) >>> 0, COUNTER_AT)
  return nonce
}

/** Counts the records of one direction: the epoch and the nonce of each. Both ends count independently. */
export class Nonces {
  readonly #nonce = Buffer.alloc(NONCE_BYTES)
  readonly #perEpoch: number
  /** The end of the mask, where the counter is. */
  #mask = 0
  #counter: number

  constructor(perEpoch: number) {
    this.#perEpoch = perEpoch
    this.#counter = perEpoch
  }

  /** Whether the next record needs the keys of another epoch; true before the first record. */
  get isSpent(): boolean {
    return this.#counter >= this.#perEpoch
  }

  /** Number of the last record of this epoch. */
  get last(): number {
    return this.#counter - 1
  }

  restart(mask: Buffer): void {
    mask.copy(this.#nonce)
    this.#mask = mask.readUInt32BE(COUNTER_AT)
    this.#counter = 0
  }

  /** The nonce of the next record, as `nonceOf` makes it. Valid until the next call. */
  next(): Buffer {
    if (this.isSpent) throw new RangeError('the keys of this epoch are spent')
    this.#nonce.writeUInt32BE((this.#mask ^ this.#counter) >>> 0, COUNTER_AT)
    this.#counter += 1
    return this.#nonce
  }
}
