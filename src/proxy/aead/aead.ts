export const KEY_BYTES = 32
export const NONCE_BYTES = 12
export const TAG_BYTES = 16

/** AES-256-GCM under one key, in one direction. Throws when it is used after `close`. */
export interface Sealer {
  /**
   * Writes `plain`, sealed along with `aad`, and then the tag of 16 bytes to the front of `out`, which must hold both.
   * `out` and `plain` must not overlap, or begin at the same byte. A nonce must never be used twice. Throws RangeError
   * for lengths that do not fit.
   */
  readonly seal: (nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array, out: Uint8Array) => void
  /** Releases the memory outside the heap, which includes the key. */
  readonly close: () => void
}

export interface Opener {
  /**
   * Writes the plain text of `sealed`, which has its tag at the end, to the front of `out`; the same rules apply.
   * Returns whether it is authentic: if not, the content of `out` must not be read. Throws RangeError for lengths that
   * do not fit.
   */
  readonly open: (nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array, out: Uint8Array) => boolean
  readonly close: () => void
}

export interface Aead {
  /** Name of the library that computes it, for people. */
  readonly name: string
  readonly sealer: (key: Uint8Array) => Sealer
  readonly opener: (key: Uint8Array) => Opener
}

/**
 * Throws RangeError unless the lengths fit. Code outside JavaScript has no other protection against access to foreign
 * memory.
 */
export function requireLengths(nonce: Uint8Array, content: number, out: Uint8Array): void {
  if (nonce.length !== NONCE_BYTES) throw new RangeError(`a nonce of ${nonce.length} bytes`)
  if (content < 0 || out.length < content) throw new RangeError(`${content} bytes do not fit in ${out.length}`)
}

export function requireKey(key: Uint8Array): void {
  if (key.length !== KEY_BYTES) throw new RangeError(`a key of ${key.length} bytes`)
}
