import type { DropListener, Remote } from '../../../udp/index.ts'
import { DATAGRAM_OVERHEAD_BYTES, HEADER_BYTES, Kind, LENGTH_BYTES, SEAL_BYTES, SIZES } from './format.ts'

/** A flow that is notified of datagrams that were dropped after they had been accepted. */
export interface PacketSource {
  readonly dropped: (datagrams: number, bytes: number) => void
}

const STREAM_BYTES = 4
const LARGEST = Math.max(...SIZES)

/** Where a packet is sent as well. */
export interface SecondPath {
  readonly remote: Remote
  /** Of the largest packet that arrives there. */
  readonly size: number
}

/** A packet under construction, with one or several datagrams of one stream. It is reused for the next. */
export class OutgoingPacket {
  readonly #bytes = Buffer.alloc(LARGEST)
  #end = 0
  #streamId = 0
  #remote: Remote | undefined
  #source: PacketSource | undefined
  #second: SecondPath | undefined
  #datagrams = 0
  #payloadBytes = 0

  get isEmpty(): boolean {
    return this.#datagrams === 0
  }

  /**
   * Whether one more datagram of `bytes` would go to the same stream and remote, in a packet of at most `size` bytes.
   */
  hasRoom(streamId: number, remote: Remote, bytes: number, size: number): boolean {
    const isSame =
      this.#streamId === streamId && this.#remote === remote && this.#bytes[HEADER_BYTES] === Kind.Datagrams
    return isSame && this.#end + LENGTH_BYTES + bytes + SEAL_BYTES <= size
  }

  /** Begins a new packet. One of kind Datagram holds one datagram, which must fit in the largest packet. */
  begin(
    kind: number,
    streamId: number,
    remote: Remote,
    source: PacketSource | undefined,
    second: SecondPath | undefined
  ): void {
    this.#bytes[HEADER_BYTES] = kind
    this.#bytes.writeUInt32BE(streamId, HEADER_BYTES + 1)
    this.#end = HEADER_BYTES + 1 + STREAM_BYTES
    this.#streamId = streamId
    this.#remote = remote
    this.#source = source
    this.#second = second
    this.#datagrams = 0
    this.#payloadBytes = 0
  }

  /** Adds a datagram. Throws RangeError if it does not fit. */
  add(payload: Buffer): void {
    if (this.#bytes[HEADER_BYTES] === Kind.Datagrams) {
      this.#bytes.writeUInt16BE(payload.length, this.#end)
      this.#end += LENGTH_BYTES
    }
    this.#bytes.set(payload, this.#end)
    this.#end += payload.length
    this.#datagrams += 1
    this.#payloadBytes += payload.length
  }

  /**
   * Calls `seal` to make a packet of it and `send` to send that, and is empty then. Datagrams that either refuses are
   * dropped. `copied`: it was sent on a second path too.
   */
  finish(
    seal: (packet: Buffer) => boolean,
    send: (packet: Buffer, to: Remote, onDrop: DropListener | undefined) => boolean,
    copied: () => void = () => {}
  ): void {
    const remote = this.#remote
    const source = this.#source
    const datagrams = this.#datagrams
    const bytes = this.#payloadBytes
    this.#datagrams = 0
    if (datagrams === 0 || remote === undefined) return
    const onDrop = source === undefined ? undefined : { dropped: () => source.dropped(datagrams, bytes) }
    const packet = this.#bytes.subarray(0, this.#end + SEAL_BYTES)
    if (!seal(packet)) {
      onDrop?.dropped()
      return
    }
    const second = this.#second
    const isDoubled = second !== undefined && packet.length <= second.size
    // Of two copies one may be dropped. The other end takes the first to arrive, and drops the other by its counter.
    const isSent = send(packet, remote, isDoubled ? undefined : onDrop)
    const isCopied = isDoubled && send(packet, second.remote, undefined)
    if (isCopied) copied()
    if (!isSent && !isCopied) onDrop?.dropped()
  }

  /** Drops its content. */
  discard(): void {
    if (this.#datagrams > 0) this.#source?.dropped(this.#datagrams, this.#payloadBytes)
    this.#datagrams = 0
  }
}

/** Largest payload that fits in a packet of `size` bytes with others. */
export function largestAmongOthers(size: number): number {
  return size - DATAGRAM_OVERHEAD_BYTES - LENGTH_BYTES
}
