import { NONCE_BYTES } from '../../aead/index.ts'
import { COUNTER_AT } from './format.ts'

const COUNTER_BYTES = 8

/** As in TLS 1.3: the counter, aligned right, XORed with a mask that only the two ends know. */
export class PacketNonce {
  readonly #mask: Buffer
  readonly #nonce = Buffer.alloc(NONCE_BYTES)

  constructor(mask: Buffer) {
    this.#mask = mask
  }

  /** The nonce of the packet with this header. Valid until the next call. */
  of(header: Buffer): Buffer {
    const nonce = this.#nonce
    nonce.set(this.#mask)
    for (let index = 0; index < COUNTER_BYTES; index += 1) {
      const at = NONCE_BYTES - COUNTER_BYTES + index
      nonce[at] = (nonce[at] ?? 0) ^ (header[COUNTER_AT + index] ?? 0)
    }
    return nonce
  }
}
