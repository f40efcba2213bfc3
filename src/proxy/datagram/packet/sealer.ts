import type { Exporter, Sender } from '../../aead/index.ts'
import { HEADER_BYTES, SEAL_BYTES } from './format.ts'
import { PacketSealer, packetKeys, packetTag } from './keys.ts'

export interface SealerLimits {
  /** Packets after which new keys are derived. @default 2^24 */
  readonly packets: number
  /** Age after which new keys are derived, in milliseconds. @default 15 minutes */
  readonly ageMs: number
}

// RFC 9147 section 4.5.3: AES-GCM should seal no more than 2^24.5 full-size records with one key.
export const SEALER_LIMITS: SealerLimits = Object.freeze({ packets: 2 ** 24, ageMs: 15 * 60_000 })
/** Upper bound for packets of one epoch, in case the other end never answers. */
const MAX_PACKETS = 2 ** 32

/**
 * Seals the packets of this end of a session, each with the next counter of its epoch.
 *
 * Moves to the next epoch only once the other end has answered in this one, so that it is never more than one ahead.
 */
export class LinkSealer {
  readonly #exporter: Exporter
  readonly #sender: Sender
  readonly #nowMs: () => number
  readonly #limits: SealerLimits
  readonly #tag: Buffer
  #keys: PacketSealer
  #epoch = 0
  #counter = 0
  #sinceMs: number
  #confirmed = false

  constructor(exporter: Exporter, sender: Sender, nowMs: () => number, limits: SealerLimits = SEALER_LIMITS) {
    this.#exporter = exporter
    this.#sender = sender
    this.#nowMs = nowMs
    this.#limits = limits
    this.#tag = packetTag(exporter, sender)
    this.#keys = new PacketSealer(packetKeys(exporter, sender, 0))
    this.#sinceMs = nowMs()
  }

  get epoch(): number {
    return this.#epoch
  }

  /** Records that the other end has opened a packet of `epoch`. */
  confirm(epoch: number): void {
    if (epoch === this.#epoch) this.#confirmed = true
  }

  /** Makes a packet with this content; undefined when no more may be sealed. Throws once the session has closed. */
  seal(...content: readonly Buffer[]): Buffer | undefined {
    const packet = Buffer.concat([Buffer.alloc(HEADER_BYTES), ...content, Buffer.alloc(SEAL_BYTES)])
    return this.sealInPlace(packet) ? packet : undefined
  }

  /**
   * Same as `seal`, for a content that lies between HEADER_BYTES and SEAL_BYTES of room; false when no more may be
   * sealed.
   */
  sealInPlace(packet: Buffer): boolean {
    if (this.#confirmed && this.#isWorn()) this.#advance()
    if (this.#counter >= MAX_PACKETS) return false
    const counter = this.#counter
    this.#counter += 1
    this.#keys.seal(packet, this.#tag, this.#epoch, counter)
    return true
  }

  /** Discards the keys. Sealing throws after that. */
  close(): void {
    this.#keys.close()
  }

  #isWorn(): boolean {
    return this.#counter >= this.#limits.packets || this.#nowMs() - this.#sinceMs >= this.#limits.ageMs
  }

  #advance(): void {
    const next = new PacketSealer(packetKeys(this.#exporter, this.#sender, this.#epoch + 1))
    this.#keys.close()
    this.#keys = next
    this.#epoch += 1
    this.#counter = 0
    this.#sinceMs = this.#nowMs()
    this.#confirmed = false
  }
}
