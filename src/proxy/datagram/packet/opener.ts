import type { Exporter, Sender } from '../../aead/index.ts'
import { decodeHeader } from './format.ts'
import { PacketOpener, packetKeys } from './keys.ts'
import { ReplayWindow } from './replay-window.ts'

interface Epoch {
  readonly number: number
  readonly opener: PacketOpener
  readonly window: ReplayWindow
}

/** Opens what the other end of a session sends, of the epoch that it is in, the one before and the one after. */
export class LinkOpener {
  readonly #exporter: Exporter
  readonly #sender: Sender
  readonly #onRepeated: () => void
  #previous: Epoch | undefined
  #current: Epoch
  #next: Epoch | undefined

  /** `onRepeated` is called for an authentic packet that came before, or is too old to know. */
  constructor(exporter: Exporter, sender: Sender, onRepeated: () => void = () => {}) {
    this.#exporter = exporter
    this.#sender = sender
    this.#onRepeated = onRepeated
    this.#current = this.#epoch(0)
  }

  /**
   * Returns the content of a packet, which it overwrites; undefined unless it is authentic and new. Throws once the
   * session has closed.
   */
  open(packet: Buffer): Buffer | undefined {
    const header = decodeHeader(packet)
    const epoch = header === undefined ? undefined : this.#find(header.epoch)
    if (header === undefined || epoch === undefined) return undefined
    const content = epoch.opener.open(packet)
    // The window moves only after the check: a forged counter would push authentic ones out of it.
    if (content === undefined) return undefined
    if (!epoch.window.accept(header.counter)) {
      this.#onRepeated()
      return undefined
    }
    if (epoch === this.#next) {
      this.#previous?.opener.close()
      this.#previous = this.#current
      this.#current = epoch
      this.#next = undefined
    }
    return content
  }

  /** Discards the keys. No packet can be opened after that. */
  close(): void {
    for (const epoch of [this.#previous, this.#current, this.#next]) epoch?.opener.close()
  }

  #find(bits: number): Epoch | undefined {
    if (bits === (this.#current.number & 0xff)) return this.#current
    if (this.#previous !== undefined && bits === (this.#previous.number & 0xff)) return this.#previous
    if (bits !== ((this.#current.number + 1) & 0xff)) return undefined
    // It is kept, so that forged packets do not cost a derivation each.
    this.#next ??= this.#epoch(this.#current.number + 1)
    return this.#next
  }

  #epoch(number: number): Epoch {
    return {
      number,
      opener: new PacketOpener(packetKeys(this.#exporter, this.#sender, number)),
      window: new ReplayWindow()
    }
  }
}
