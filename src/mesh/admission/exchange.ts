import type { MessageStream } from '@libp2p/interface'
import { type LengthPrefixedStream, lpStream } from '@libp2p/utils'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { create, decode, identityPb, toBinary } from '../../wire/index.ts'
import { MAX_ADMISSION_BYTES, MAX_EARLY_BYTES } from '../limits.ts'

/** The dialling side sends this once it has accepted the other: then both know that both agree. */
const CONFIRMED = Uint8Array.of(1)

/**
 * The admission exchange on a connection that is already encrypted.
 *
 *     dialler                               answerer
 *       Admission ────────────────────────▶   verifies
 *       verifies      ◀──────────────────────── Admission
 *       confirmation ─────────────────────▶
 *
 * The dialler shows its certificate first, so that a stranger who connects learns nothing about us, not even a name. A
 * refusal closes the connection without a reason; only a host that was a member and is revoked receives the reason,
 * instead of the answer.
 */
export class AdmissionExchange {
  readonly #lp: LengthPrefixedStream
  readonly #signal: AbortSignal

  constructor(connection: MessageStream, signal: AbortSignal) {
    this.#lp = lpStream(connection, { maxDataLength: MAX_ADMISSION_BYTES, maxBufferSize: MAX_EARLY_BYTES })
    this.#signal = signal
  }

  /** Sends our chain, if necessary with the reason why the other side is refused. */
  async show(chain: readonly Uint8Array[], refusal = ''): Promise<void> {
    const message = create(identityPb.AdmissionSchema, { nodeChain: chain.map(der => new Uint8Array(der)), refusal })
    await this.#lp.write(toBinary(identityPb.AdmissionSchema, message), { signal: this.#signal })
  }

  /**
   * The chain that the other side shows, and the reason if it refuses us. Throws MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, or
   * libp2p's error if it closes.
   */
  async see(): Promise<{ readonly chain: readonly Uint8Array[]; readonly refusal: string }> {
    const bytes = (await this.#lp.read({ signal: this.#signal })).subarray()
    const { nodeChain: chain, refusal } = decode(identityPb.AdmissionSchema, bytes, MAX_ADMISSION_BYTES)
    return { chain, refusal }
  }

  async confirm(): Promise<void> {
    await this.#lp.write(CONFIRMED, { signal: this.#signal })
  }

  async awaitConfirmation(): Promise<void> {
    const bytes = (await this.#lp.read({ signal: this.#signal })).subarray()
    if (bytes.length !== 1 || bytes[0] !== CONFIRMED[0]) {
      throw new WarrenError(ErrorCode.MessageMalformed, 'not an admission confirmation')
    }
  }

  /** Returns the connection; everything that the peer sent after the exchange is still unread. */
  release(): MessageStream {
    return this.#lp.unwrap()
  }
}
