import type { Remote } from '../../../udp/index.ts'
import type { Sent } from '../../flow/index.ts'
import { DATAGRAM_OVERHEAD_BYTES, eachDatagram, Kind } from './format.ts'
import type { PacketSource } from './outgoing.ts'
import { Packing } from './packing.ts'
import { PathFinder, type PathFinderOptions } from './path-finder.ts'
import type { Oversize, PacketPort } from './port.ts'
import { decodeProbe } from './probe.ts'
import { SealedLink, type SealedLinkOptions } from './sealed-link.ts'

export type ChannelOptions = SealedLinkOptions & PathFinderOptions

/** A flow of datagrams on one stream of the session. */
export interface PacketFlow extends PacketSource {
  /** `payload` is valid only during the call. */
  readonly datagram: (payload: Buffer) => void
}

/** The datagram path of one session: sealed packets over UDP, beside its capsules, while they arrive. */
export class PacketChannel {
  readonly #port: PacketPort
  readonly #link: SealedLink
  readonly #finder: PathFinder
  readonly #packing: Packing
  readonly #flows = new Map<number, PacketFlow>()
  /** Streams whose datagrams are sent on two paths. */
  readonly #doubled = new Set<number>()
  readonly #oversize: Oversize

  private constructor(options: ChannelOptions) {
    const remotes = options.remotes.filter(remote => options.port.canReach(remote))
    this.#port = options.port
    this.#oversize = options.port.oversize
    this.#link = new SealedLink(options)
    const others = options.others?.filter(remote => options.port.canReach(remote))
    this.#finder = new PathFinder(this.#link, { ...options, remotes, others })
    this.#packing = new Packing(this.#link)
  }

  /** Makes the path of a session, which is not found yet; undefined if there can be none. */
  static open(options: ChannelOptions): PacketChannel | undefined {
    try {
      const channel = new PacketChannel(options)
      const isHeard = channel.#link.listen((packet, from) => channel.#received(packet, from))
      if (!isHeard) channel.#link.forgetKeys()
      return isHeard ? channel : undefined
    } catch (err) {
      options.log.debug('no datagram path for a session', { machine: options.machine, err })
      return undefined
    }
  }

  /** Whether datagrams are sent as packets now. */
  get isUp(): boolean {
    return this.#finder.path !== undefined
  }

  get flowCount(): number {
    return this.#flows.size
  }

  /** Whether datagrams of flows that ask for it are sent on two paths now. */
  get isDoubled(): boolean {
    return this.#finder.second !== undefined
  }

  /**
   * Hands the datagrams of a stream to `flow` and begins to look for the path, or for two on which each packet of the stream is
   * sent. The returned function undoes that.
   */
  attach(streamId: number, flow: PacketFlow, multipath = false): () => void {
    this.#flows.set(streamId, flow)
    if (multipath) this.#doubled.add(streamId)
    this.#finder.wantsTwo = this.#doubled.size > 0
    this.#finder.start()
    return () => {
      this.#flows.delete(streamId)
      this.#doubled.delete(streamId)
      this.#finder.wantsTwo = this.#doubled.size > 0
      if (this.#flows.size === 0) this.#idle()
    }
  }

  /** Looks for the path at `remote` too, for some seconds: the other end says that its packets come from there. */
  meet(remote: Remote): void {
    if (this.#port.canReach(remote)) this.#finder.meet(remote)
  }

  /**
   * Sends a datagram of a stream in a packet, together with others of the same turn of the event loop if they fit;
   * undefined if it must be sent as a capsule. A datagram that is larger than the path carries is `oversize`: as a capsule it
   * would tell its sender that the path is wider than it is. One that is dropped later is reported to the stream's flow.
   */
  send(streamId: number, payload: Buffer): Sent | undefined {
    const path = this.#finder.path
    if (path === undefined) return undefined
    if (payload.length + DATAGRAM_OVERHEAD_BYTES > path.size) {
      return this.#oversize === 'drop' && payload.length > path.largestDatagram ? 'oversize' : undefined
    }
    path.used = true
    const second = this.#doubled.has(streamId) ? this.#finder.second : undefined
    if (second !== undefined) second.used = true
    this.#packing.add(path, streamId, payload, this.#flows.get(streamId), second)
    return 'sent'
  }

  close(): void {
    this.#packing.discard()
    this.#flows.clear()
    this.#idle()
    this.#link.ignore()
    this.#link.forgetKeys()
  }

  #idle(): void {
    this.#packing.idle()
    this.#finder.idle()
  }

  #received(packet: Buffer, from: () => Remote): void {
    if (this.#flows.size === 0) return
    const content = this.#link.open(packet)
    switch (content?.[0]) {
      case Kind.Datagram:
      case Kind.Datagrams:
        if (content.length >= 5) eachDatagram(content, this.#flows.get(content.readUInt32BE(1))?.datagram)
        return
      case Kind.Ping:
      case Kind.Pong: {
        const probe = decodeProbe(content)
        if (probe === undefined) return
        if (content[0] === Kind.Ping) this.#finder.answer(probe, packet.length, from())
        else this.#finder.answered(probe)
      }
    }
  }
}
