import type { Exporter } from '../aead/index.ts'
import { type ConnectionKeys, type ConnectionName, connectionKeys } from './keys.ts'
import { Nonces, nonceOf } from './nonces.ts'

/** Seals or opens under one key. */
interface Keyed {
  readonly close: () => void
}

/** Selects the key of one direction of a fast-path connection, epoch after epoch, as its records are counted. */
export class Epochs<T extends Keyed> {
  readonly #exporter: Exporter
  readonly #name: ConnectionName
  readonly #make: (key: Buffer) => T
  readonly #nonces: Nonces
  #epoch = -1
  #keyed: T | undefined
  #keys: ConnectionKeys | undefined

  constructor(exporter: Exporter, name: ConnectionName, recordsPerEpoch: number, make: (key: Buffer) => T) {
    this.#exporter = exporter
    this.#name = name
    this.#make = make
    this.#nonces = new Nonces(recordsPerEpoch)
  }

  /** Returns the sealer or opener of the next record. Throws once the session has closed and the keys are spent. */
  current(): T {
    if (this.#keyed !== undefined && !this.#nonces.isSpent) return this.#keyed
    const keys = connectionKeys(this.#exporter, this.#name, this.#epoch + 1)
    this.#keyed?.close()
    this.#keyed = this.#make(keys.key)
    this.#keys = keys
    this.#epoch += 1
    this.#nonces.restart(keys.mask)
    return this.#keyed
  }

  /** Returns the nonce of one more record, after a call of `current`. Valid until the next call. */
  nextNonce(): Buffer {
    return this.#nonces.next()
  }

  /** Returns what makes key and nonce of the last record, also after `close`. */
  last(): () => { readonly key: Buffer; readonly nonce: Buffer } {
    const [keys, counter] = [this.#keys, this.#nonces.last]
    if (keys === undefined) throw new RangeError('there was no record')
    return () => ({ key: keys.key, nonce: nonceOf(keys.mask, counter) })
  }

  /** Discards the key. */
  close(): void {
    this.#keyed?.close()
    this.#keys = undefined
  }
}
