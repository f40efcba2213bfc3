import { type Aead, aes256Gcm, type Exporter, type Sealer } from '../aead/index.ts'
import type { Reopen } from '../flow/index.ts'
import { Epochs } from './epochs.ts'
import { HEADER_BYTES, type Kind, MAX_CONTENT_BYTES, RECORD_OVERHEAD_BYTES, writeHeader } from './format.ts'
import type { ConnectionName } from './keys.ts'
import { RECORDS_PER_EPOCH } from './nonces.ts'

/** Seals the records of one direction of a fast-path connection. */
export class RecordWriter {
  readonly #aead: Aead
  readonly #epochs: Epochs<Sealer>
  readonly #header = Buffer.alloc(HEADER_BYTES)

  constructor(exporter: Exporter, name: ConnectionName, aead = aes256Gcm(), recordsPerEpoch = RECORDS_PER_EPOCH) {
    this.#aead = aead
    this.#epochs = new Epochs(exporter, name, recordsPerEpoch, key => aead.sealer(key))
  }

  /**
   * Writes a record with `content` to `out` and returns its size. Throws RangeError if it does not fit. Once the
   * session has closed, it throws when its keys are spent, if not earlier.
   */
  write(kind: Kind, content: Buffer, out: Buffer): number {
    if (content.length > MAX_CONTENT_BYTES) throw new RangeError(`a record of ${content.length} bytes`)
    const size = content.length + RECORD_OVERHEAD_BYTES
    if (out.length < size) throw new RangeError(`a record of ${size} bytes does not fit in ${out.length}`)
    const sealer = this.#epochs.current()
    writeHeader(kind, content.length, out)
    writeHeader(kind, content.length, this.#header)
    sealer.seal(this.#epochs.nextNonce(), this.#header, content, out.subarray(HEADER_BYTES))
    return size
  }

  /** Returns what opens the last record again, for as long as somebody holds it. It keeps the key in memory. */
  reopen(): Reopen {
    const [aead, keysOf] = [this.#aead, this.#epochs.last()]
    return record => {
      const { key, nonce } = keysOf()
      const content = Buffer.allocUnsafeSlow(record.length - RECORD_OVERHEAD_BYTES)
      const opener = aead.opener(key)
      try {
        const sealed = record.subarray(HEADER_BYTES)
        if (opener.open(nonce, record.subarray(0, HEADER_BYTES), sealed, content)) return content
      } finally {
        opener.close()
      }
      throw new Error('a record that was sent has changed')
    }
  }

  close(): void {
    this.#epochs.close()
  }
}
