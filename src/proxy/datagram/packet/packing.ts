import { atEndOfTurn } from '../../../core/index.ts'
import { Kind } from './format.ts'
import { largestAmongOthers, OutgoingPacket, type PacketSource } from './outgoing.ts'
import type { DatagramPath } from './path.ts'
import type { SealedLink } from './sealed-link.ts'

/** Puts the datagrams of one turn of the event loop into packets, as many of one stream into each as fit. */
export class Packing {
  readonly #link: SealedLink
  #outgoing: OutgoingPacket | undefined
  #isAwaited = false

  constructor(link: SealedLink) {
    this.#link = link
  }

  /**
   * Takes a datagram that fits in a packet of `path`. `source` learns of one that is dropped later. The packet is sent on `second`
   * too, if that carries its size.
   */
  add(
    path: DatagramPath,
    streamId: number,
    payload: Buffer,
    source: PacketSource | undefined,
    second: DatagramPath | undefined
  ): void {
    this.#outgoing ??= new OutgoingPacket()
    const outgoing = this.#outgoing
    if (outgoing.isEmpty || !outgoing.hasRoom(streamId, path.remote, payload.length, path.size)) {
      this.finish()
      const isShared = path.packs && payload.length <= largestAmongOthers(path.size)
      outgoing.begin(isShared ? Kind.Datagrams : Kind.Datagram, streamId, path.remote, source, second)
    }
    outgoing.add(payload)
    if (this.#isAwaited) return
    this.#isAwaited = true
    atEndOfTurn(this.#onTurn)
  }

  /** Sends the packet that it holds. */
  finish(): void {
    this.#outgoing?.finish(this.#link.sealInPlace, this.#link.send, this.#link.copied)
  }

  /** Sends the packet that it holds, and releases its memory. */
  idle(): void {
    this.finish()
    this.#outgoing = undefined
  }

  /** Drops the packet that it holds. */
  discard(): void {
    this.#outgoing?.discard()
  }

  readonly #onTurn = (): void => {
    this.#isAwaited = false
    this.finish()
  }
}
