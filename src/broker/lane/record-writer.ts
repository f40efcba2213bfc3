import { type Aead, aes256Gcm, type Sealer } from '../aead/index.ts'
import type { Exporter } from '../packet/keys.ts'
import { HEADER_BYTES, type Kind, MAX_CONTENT_BYTES, RECORD_OVERHEAD_BYTES, writeHeader } from './format.ts'
import { type LaneName, laneKeys } from './keys.ts'
import { Nonces, RECORDS_PER_EPOCH } from './nonces.ts'

/** Seals the records of one direction of a lane. */
export class RecordWriter {
  readonly #exporter: Exporter
  readonly #name: LaneName
  readonly #aead: Aead
  readonly #nonces: Nonces
  #epoch = -1
  #sealer: Sealer | undefined

  constructor(exporter: Exporter, name: LaneName, aead = aes256Gcm(), recordsPerEpoch = RECORDS_PER_EPOCH) {
    this.#exporter = exporter
    this.#name = name
    this.#aead = aead
    this.#nonces = new Nonces(recordsPerEpoch)
  }

  /**
   * Writes a record with `content` to `out` and returns its size. Throws RangeError if it does not fit, and once the session
   * is gone at the latest when its keys are spent.
   */
  write(kind: Kind, content: Buffer, out: Buffer): number {
    if (content.length > MAX_CONTENT_BYTES) throw new RangeError(`a record of ${content.length} bytes`)
    const size = content.length + RECORD_OVERHEAD_BYTES
    if (out.length < size) throw new RangeError(`a record of ${size} bytes does not fit in ${out.length}`)
    const sealer = this.#current()
    writeHeader(kind, content.length, out)
    sealer.seal(this.#nonces.next(), out.subarray(0, HEADER_BYTES), content, out.subarray(HEADER_BYTES))
    return size
  }

  close(): void {
    this.#sealer?.close()
  }

  #current(): Sealer {
    if (this.#sealer !== undefined && !this.#nonces.isSpent) return this.#sealer
    const { key, mask } = laneKeys(this.#exporter, this.#name, this.#epoch + 1)
    this.#sealer?.close()
    this.#sealer = this.#aead.sealer(key)
    this.#epoch += 1
    this.#nonces.restart(mask)
    return this.#sealer
  }
}
