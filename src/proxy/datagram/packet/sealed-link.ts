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
 * The session may end at any moment, and its keys with it: then nothing is sealed and nothing opens, without an error.
 */
export class SealedLink {
  readonly #port: PacketPort
  readonly #sealer: LinkSealer
  readonly #opener: LinkOpener
  readonly #tag: string

  /** Throws once the session is gone. */
  constructor({ port, exporter, role, nowMs, limits }: SealedLinkOptions) {
    const other = role === 'client' ? 'server' : 'client'
    this.#port = port
    this.#sealer = new LinkSealer(exporter, role, nowMs, limits)
    this.#opener = new LinkOpener(exporter, other)
    this.#tag = packetTag(exporter, other).toString('latin1')
  }

  /** The epoch that the last packet was sealed in. */
  get epoch(): number {
    return this.#sealer.epoch
  }

  /** Has each packet that names this session handed to `listener`, not yet opened. False if there is no room for it. */
  listen(listener: (packet: Buffer, from: () => Remote) => void): boolean {
    return this.#port.listen(this.#tag, listener)
  }

  /** Notes that the other end has opened a packet of `epoch`. */
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

  /** Sends a sealed packet. False if it was dropped at once. */
  readonly send = (packet: Buffer, to: Remote, onDrop?: DropListener): boolean => this.#port.send(packet, to, onDrop)

  /** As `LinkOpener.open`. */
  open(packet: Buffer): Buffer | undefined {
    try {
      return this.#opener.open(packet)
    } catch {
      return undefined
    }
  }

  /** Hears nothing more. */
  ignore(): void {
    this.#port.ignore(this.#tag)
  }

  forgetKeys(): void {
    this.#sealer.close()
    this.#opener.close()
  }
}
