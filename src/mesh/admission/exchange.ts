import type { MessageStream } from '@libp2p/interface'
import { type LengthPrefixedStream, lpStream } from '@libp2p/utils'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { create, decode, identityPb, toBinary } from '../../wire/index.ts'
import { MAX_ADMISSION_BYTES, MAX_EARLY_BYTES } from '../limits.ts'

/** Sent by the side that dialled, once it has accepted the other: from then on both know that both agree. */
const CONFIRMED = Uint8Array.of(1)

/**
 * The admission exchange on a connection that is already encrypted.
 *
 *     dialler                               answerer
 *       Admission ────────────────────────▶   verifies
 *       verifies      ◀──────────────────────── Admission
 *       confirmation ─────────────────────▶
 *
 * The dialler shows its certificate first, so that a stranger who knocks learns nothing of us, not even a name. A
 * refusal is the end of the connection, without a word; only a host that was a member and is revoked is told so, in
 * place of the answer.
 */
export class AdmissionExchange {
  readonly #lp: LengthPrefixedStream
  readonly #signal: AbortSignal

  constructor(connection: MessageStream, signal: AbortSignal) {
    this.#lp = lpStream(connection, { maxDataLength: MAX_ADMISSION_BYTES, maxBufferSize: MAX_EARLY_BYTES })
    this.#signal = signal
  }

  /** Shows our chain, if need be with why the other side is refused. */
  async show(chain: readonly Uint8Array[], refusal = ''): Promise<void> {
    const message = create(identityPb.AdmissionSchema, { nodeChain: chain.map(der => new Uint8Array(der)), refusal })
    await this.#lp.write(toBinary(identityPb.AdmissionSchema, message), { signal: this.#signal })
  }

  /**
   * The chain that the other side shows, and why it refuses us if it does. MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, or libp2p's
   * error if it hangs up.
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

  /** Gives the connection back, with whatever the peer sent behind the exchange still unread. */
  release(): MessageStream {
    return this.#lp.unwrap()
  }
}
