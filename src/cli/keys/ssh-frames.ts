import { ErrorCode, WarrenError } from '../../core/index.ts'

/** What one message to or from an ssh-agent may have; its own programs have the same bound. */
export const MAX_FRAME_BYTES = 256 * 1024
const LENGTH_BYTES = 4

/** A string of the SSH protocols: its length in four bytes, and its bytes. https://www.rfc-editor.org/rfc/rfc4251#section-5 */
export function sshString(bytes: Uint8Array | string): Buffer {
  const content = Buffer.from(bytes)
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt32BE(content.length)
  return Buffer.concat([length, content])
}

/** Reads the fields of a message one after another. Throws MESSAGE_MALFORMED beyond its end. */
export class SshReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes)
  }

  byte(): number {
    return this.#take(1).readUInt8()
  }

  uint32(): number {
    return this.#take(LENGTH_BYTES).readUInt32BE()
  }

  string(): Buffer {
    return this.#take(this.uint32())
  }

  /** Throws MESSAGE_MALFORMED if something follows. */
  end(): void {
    if (this.#at !== this.#bytes.length) throw malformed('something follows its end')
  }

  #take(length: number): Buffer {
    const to = this.#at + length
    if (to > this.#bytes.length) throw malformed('it ends too early')
    const taken = this.#bytes.subarray(this.#at, to)
    this.#at = to
    return taken
  }
}

/** Joins the pieces of one message. */
export class FrameReader {
  #held = Buffer.alloc(0)

  /** The message, once all of it is there. Throws MESSAGE_TOO_LARGE, or MESSAGE_MALFORMED if more follows. */
  push(piece: Uint8Array): Buffer | undefined {
    this.#held = Buffer.concat([this.#held, piece])
    if (this.#held.length < LENGTH_BYTES) return undefined
    const length = this.#held.readUInt32BE()
    if (length > MAX_FRAME_BYTES) {
      throw new WarrenError(ErrorCode.MessageTooLarge, `ssh-agent answers with more than ${MAX_FRAME_BYTES} bytes`)
    }
    const size = LENGTH_BYTES + length
    if (this.#held.length > size) throw malformed('something follows its end')
    return this.#held.length === size ? this.#held.subarray(LENGTH_BYTES) : undefined
  }
}

export function malformed(why: string): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, `the answer of ssh-agent is not usable: ${why}`)
}
