import type { DropListener, Remote } from '../../../udp/index.ts'
import type { Exporter, Sender } from '../../aead/index.ts'
import { packetTag } from './keys.ts'
import { LinkOpener } from './opener.ts'
import type { PacketPort } from './port.ts'
import { LinkSealer, type SealerLimits } from './sealer.ts'

export interface SealedLinkOptions {
  readonly port: PacketPort
  readonly exporter: Exporter
  /** Which end of the session this is. */
  readonly role: Sender
  readonly nowMs: () => number
  readonly limits?: SealerLimits | undefined
}

/**
 * The packets of one session at the data port, sealed and opened with its keys.
 *
 * The session may close at any moment. After that no packet is sealed or opened, without an error.
 */
export class SealedLink {
  readonly #port: PacketPort
  readonly #sealer: LinkSealer
  readonly #opener: LinkOpener
  readonly #tag: string

  /** Throws once the session has closed. */
  constructor({ port, exporter, role, nowMs, limits }: SealedLinkOptions) {
    const other = role === 'client' ? 'server' : 'client'
    this.#port = port
    this.#sealer = new LinkSealer(exporter, role, nowMs, limits)
    this.#opener = new LinkOpener(exporter, other, () => port.countCopy('removed'))
    this.#tag = packetTag(exporter, other).toString('latin1')
  }

  /** The epoch that the last packet was sealed in. */
  get epoch(): number {
    return this.#sealer.epoch
  }

  /** Hands each packet for this session to `listener`, not yet opened. Returns false if there is no room for it. */
  listen(listener: (packet: Buffer, from: () => Remote) => void): boolean {
    return this.#port.listen(this.#tag, listener)
  }

  /** Records that the other end has opened a packet of `epoch`. */
  confirm(epoch: number): void {
    this.#sealer.confirm(epoch)
  }

  /** As `LinkSealer.sealInPlace`. */
  readonly sealInPlace = (packet: Buffer): boolean => {
    try {
      return this.#sealer.sealInPlace(packet)
    } catch {
      return false
    }
  }

  /** Sends a sealed packet. Returns false if it was dropped at once. */
  readonly send = (packet: Buffer, to: Remote, onDrop?: DropListener): boolean => this.#port.send(packet, to, onDrop)

  /** Counts a packet that was sent on a second path. */
  readonly copied = (): void => this.#port.countCopy('sent')

  /** As `LinkOpener.open`. */
  open(packet: Buffer): Buffer | undefined {
    try {
      return this.#opener.open(packet)
    } catch {
      return undefined
    }
  }

  /** Stops listening. */
  ignore(): void {
    this.#port.ignore(this.#tag)
  }

  forgetKeys(): void {
    this.#sealer.close()
    this.#opener.close()
  }
}
