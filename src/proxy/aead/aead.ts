export const KEY_BYTES = 32
export const NONCE_BYTES = 12
export const TAG_BYTES = 16

/** AES-256-GCM under one key, in one direction. Not to be used after `close`: then it throws. */
export interface Sealer {
  /**
   * Writes `plain`, sealed along with `aad`, and then the tag of 16 bytes to the front of `out`, which must hold both and
   * overlap with `plain` either not at all or from its first byte on. A nonce must never be used twice. Throws RangeError
   * for lengths that do not fit.
   */
  readonly seal: (nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array, out: Uint8Array) => void
  /** Gives back what it holds outside the heap, the key among it. */
  readonly close: () => void
}

export interface Opener {
  /**
   * Writes what `sealed`, its tag at the end, holds to the front of `out`; the same rules apply. Returns whether it is
   * authentic: if not, what is in `out` must not be looked at. Throws RangeError for lengths that do not fit.
   */
  readonly open: (nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array, out: Uint8Array) => boolean
  readonly close: () => void
}

export interface Aead {
  /** For people: whose code computes it. */
  readonly name: string
  readonly sealer: (key: Uint8Array) => Sealer
  readonly opener: (key: Uint8Array) => Opener
}

/** Throws RangeError unless the lengths fit. Of code outside JavaScript nothing else stands before memory that is not ours. */
export function requireLengths(nonce: Uint8Array, content: number, out: Uint8Array): void {
  if (nonce.length !== NONCE_BYTES) throw new RangeError(`a nonce of ${nonce.length} bytes`)
  if (content < 0 || out.length < content) throw new RangeError(`${content} bytes do not fit in ${out.length}`)
}

export function requireKey(key: Uint8Array): void {
  if (key.length !== KEY_BYTES) throw new RangeError(`a key of ${key.length} bytes`)
}
