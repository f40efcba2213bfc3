import { randomBytes } from 'node:crypto'
import { atEndOfTurn, type Logger } from '../../core/index.ts'
import type { DropListener, Remote } from '../../udp/index.ts'
import type { Sent } from '../datagram/leg.ts'
import {
  DATAGRAM_OVERHEAD_BYTES,
  eachDatagram,
  Feature,
  HEADER_BYTES,
  Kind,
  PACKET_OVERHEAD_BYTES,
  SIZES
} from './format.ts'
import { type Exporter, packetTag, type Sender } from './keys.ts'
import { Opener } from './opener.ts'
import { largestAmongOthers, OutgoingPacket, type PacketSource } from './outgoing.ts'
import type { PacketPort } from './port.ts'
import { Sealer, type SealerLimits } from './sealer.ts'

/** How often the path is asked while it is used. */
export const PING_MS = 400
/** How often while it is not, so that a NAT keeps it open. */
const IDLE_PING_MS = 15_000
/** Without an answer for this long, datagrams go by capsules again. */
const DEAD_MS = 2_000
/** Longest pause between attempts to find the path again; the first is PING_MS. */
const MAX_PAUSE_MS = 10_000
/** Addresses of the other agent that are asked. */
const MAX_REMOTES = 4
/** Pings whose answer is waited for. */
const MAX_PINGS = 16
/** Attempts at a larger size, before it is given up until the path is found anew. */
const MAX_GROWTH = 3
const TOKEN_BYTES = 8

interface Ping {
  readonly remote: Remote
  readonly size: number
  readonly epoch: number
}

interface Path {
  readonly remote: Remote
  /** Whether the other end opens packets with several datagrams. */
  readonly packs: boolean
  size: number
  growth: number
  used: boolean
  lastPingMs: number
  /** Since when an answer is missing. */
  waitingSinceMs: number | undefined
}

export interface ChannelOptions {
  readonly port: PacketPort
  readonly exporter: Exporter
  /** Which end of the session this is. */
  readonly role: Sender
  /** Where the other end may be reached. The server's end learns it from authentic packets. */
  readonly remotes: readonly Remote[]
  readonly machine: string
  readonly nowMs: () => number
  readonly log: Logger
  readonly limits?: SealerLimits | undefined
}

/** A flow of datagrams on one stream of the session. */
export interface PacketFlow extends PacketSource {
  /** `payload` is valid only during the call. */
  readonly datagram: (payload: Buffer) => void
}

/**
 * The datagram path of one session: sealed packets over UDP, beside its capsules.
 *
 * Each end asks for itself whether its packets arrive (a ping as large as a packet may become, and its answer), sends by
 * packets while they do, and asks again now and then while they do not. Only authentic packets are answered, each by no
 * more bytes than it has, twice.
 */
export class PacketChannel {
  readonly #options: ChannelOptions
  readonly #sealer: Sealer
  readonly #opener: Opener
  readonly #tag: string
  readonly #flows = new Map<number, PacketFlow>()
  readonly #pings = new Map<string, Ping>()
  #remotes: readonly Remote[]
  #path: Path | undefined
  #nextProbeMs = 0
  #pauseMs = PING_MS
  #timer: NodeJS.Timeout | undefined
  #outgoing: OutgoingPacket | undefined
  #isAwaited = false

  private constructor(options: ChannelOptions) {
    const { exporter, role, port, nowMs, limits } = options
    const other = role === 'client' ? 'server' : 'client'
    this.#options = options
    this.#sealer = new Sealer(exporter, role, nowMs, limits)
    this.#opener = new Opener(exporter, other)
    this.#tag = packetTag(exporter, other).toString('latin1')
    this.#remotes = options.remotes.filter(remote => port.canReach(remote)).slice(0, MAX_REMOTES)
  }

  /** The path of a session, not yet found; undefined if there can be none. */
  static open(options: ChannelOptions): PacketChannel | undefined {
    try {
      const channel = new PacketChannel(options)
      const isHeard = options.port.listen(channel.#tag, (packet, from) => channel.#received(packet, from))
      if (!isHeard) channel.#forgetKeys()
      return isHeard ? channel : undefined
    } catch (err) {
      options.log.debug('no datagram path for a session', { machine: options.machine, err })
      return undefined
    }
  }

  /** Whether datagrams go by packets now. */
  get isUp(): boolean {
    return this.#path !== undefined
  }

  /** Hands the datagrams of a stream to `flow` and looks for the path. The function returned takes that back. */
  attach(streamId: number, flow: PacketFlow): () => void {
    this.#flows.set(streamId, flow)
    if (this.#timer === undefined) {
      this.#timer = setInterval(() => this.#tick(), PING_MS)
      this.#tick()
    }
    return () => {
      this.#flows.delete(streamId)
      if (this.#flows.size === 0) this.#rest()
    }
  }

  /**
   * Sends a datagram of a stream by a packet, with others that come in the same turn of the event loop if they fit in it;
   * undefined if it must go by a capsule. One that is dropped nevertheless is told to the stream's flow.
   */
  send(streamId: number, payload: Buffer): Sent | undefined {
    const path = this.#path
    if (path === undefined || payload.length + DATAGRAM_OVERHEAD_BYTES > path.size) return undefined
    path.used = true
    this.#outgoing ??= new OutgoingPacket()
    const outgoing = this.#outgoing
    if (outgoing.isEmpty || !outgoing.hasRoom(streamId, path.remote, payload.length, path.size)) {
      this.#finish()
      const isShared = path.packs && payload.length <= largestAmongOthers(path.size)
      outgoing.begin(isShared ? Kind.Datagrams : Kind.Datagram, streamId, path.remote, this.#flows.get(streamId))
    }
    outgoing.add(payload)
    if (!this.#isAwaited) {
      this.#isAwaited = true
      atEndOfTurn(this.#onTurn)
    }
    return 'sent'
  }

  close(): void {
    this.#outgoing?.discard()
    this.#flows.clear()
    this.#rest()
    this.#options.port.ignore(this.#tag)
    this.#forgetKeys()
  }

  #forgetKeys(): void {
    this.#sealer.close()
    this.#opener.close()
  }

  readonly #onTurn = (): void => {
    this.#isAwaited = false
    this.#finish()
  }

  #finish(): void {
    this.#outgoing?.finish(this.#sealInPlace, this.#send)
  }

  #rest(): void {
    this.#finish()
    this.#outgoing = undefined
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#path = undefined
    this.#pings.clear()
    this.#nextProbeMs = 0
    this.#pauseMs = PING_MS
  }

  #tick(): void {
    const now = this.#options.nowMs()
    const path = this.#path
    if (path === undefined) {
      this.#probe(now)
      return
    }
    if (path.waitingSinceMs !== undefined && now - path.waitingSinceMs >= DEAD_MS) {
      this.#lose(now)
      return
    }
    if (!path.used && path.waitingSinceMs === undefined && now - path.lastPingMs < IDLE_PING_MS) return
    path.used = false
    path.lastPingMs = now
    path.waitingSinceMs ??= now
    this.#ping(path.remote, path.size)
    this.#grow(path)
  }

  #probe(now: number): void {
    if (now < this.#nextProbeMs) return
    this.#nextProbeMs = now + this.#pauseMs
    this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_PAUSE_MS)
    for (const remote of this.#remotes) this.#ping(remote, SIZES[0])
  }

  #lose(now: number): void {
    this.#options.log.debug('datagram path lost, using capsules', { machine: this.#options.machine })
    this.#path = undefined
    this.#pings.clear()
    this.#nextProbeMs = now
    this.#pauseMs = PING_MS
  }

  #grow(path: Path): void {
    const larger = SIZES.find(size => size > path.size)
    if (larger === undefined || path.growth >= MAX_GROWTH) return
    path.growth += 1
    this.#ping(path.remote, larger)
  }

  #ping(remote: Remote, size: number): void {
    const token = randomBytes(TOKEN_BYTES)
    const packet = padded(Kind.Ping, token, size)
    if (!this.#sealInPlace(packet)) return
    this.#pings.set(token.toString('latin1'), { remote, size, epoch: this.#sealer.epoch })
    const oldest = this.#pings.keys().next().value
    if (this.#pings.size > MAX_PINGS && oldest !== undefined) this.#pings.delete(oldest)
    this.#send(packet, remote)
  }

  #received(packet: Buffer, from: () => Remote): void {
    if (this.#flows.size === 0) return
    const content = this.#open(packet)
    switch (content?.[0]) {
      case Kind.Datagram:
      case Kind.Datagrams:
        if (content.length >= 5) eachDatagram(content, this.#flows.get(content.readUInt32BE(1))?.datagram)
        return
      case Kind.Ping:
        if (content.length > TOKEN_BYTES) this.#answer(tokenOf(content), packet.length, from())
        return
      case Kind.Pong:
        if (content.length > TOKEN_BYTES) this.#answered(tokenOf(content), content[1 + TOKEN_BYTES] ?? 0)
    }
  }

  #answer(token: Buffer, size: number, from: Remote): void {
    const pong = padded(Kind.Pong, token, size)
    if (this.#sealInPlace(pong)) this.#send(pong, from)
    const path = this.#path
    if (path !== undefined && (this.#options.role === 'client' || isSame(path.remote, from))) return
    // The server's end knows no address but those that authentic packets come from; each is asked before it is used.
    if (this.#options.role === 'server') this.#remotes = [from]
    else if (!this.#remotes.some(remote => isSame(remote, from))) return
    this.#ping(from, SIZES[0])
  }

  #answered(token: Buffer, features: number): void {
    const key = token.toString('latin1')
    const ping = this.#pings.get(key)
    if (ping === undefined) return
    this.#pings.delete(key)
    this.#sealer.confirm(ping.epoch)
    const now = this.#options.nowMs()
    const path = this.#path
    if (path !== undefined && isSame(path.remote, ping.remote)) {
      path.size = Math.max(path.size, ping.size)
      path.waitingSinceMs = undefined
      return
    }
    // The first of several addresses to answer stays; the server's end follows a client whose address changed.
    if (path !== undefined && this.#options.role === 'client') return
    this.#pauseMs = PING_MS
    this.#path = {
      remote: ping.remote,
      packs: (features & Feature.Datagrams) !== 0,
      size: ping.size,
      growth: 0,
      used: true,
      lastPingMs: now,
      waitingSinceMs: undefined
    }
    this.#options.log.debug('datagram path found', { machine: this.#options.machine, remote: ping.remote.address })
    this.#grow(this.#path)
  }

  // The session may end at any moment, and its keys with it.
  readonly #sealInPlace = (packet: Buffer): boolean => {
    try {
      return this.#sealer.sealInPlace(packet)
    } catch {
      return false
    }
  }

  readonly #send = (packet: Buffer, to: Remote, onDrop?: DropListener): boolean =>
    this.#options.port.send(packet, to, onDrop)

  #open(packet: Buffer): Buffer | undefined {
    try {
      return this.#opener.open(packet)
    } catch {
      return undefined
    }
  }
}

/** A packet of `size` bytes, not yet sealed. */
function padded(kind: number, token: Buffer, size: number): Buffer {
  const packet = Buffer.alloc(Math.max(PACKET_OVERHEAD_BYTES + 1 + TOKEN_BYTES, size))
  packet[HEADER_BYTES] = kind
  packet.set(token, HEADER_BYTES + 1)
  // An answer must not be larger than what it answers.
  if (size >= PACKET_OVERHEAD_BYTES + 2 + TOKEN_BYTES) packet[HEADER_BYTES + 1 + TOKEN_BYTES] = Feature.Datagrams
  return packet
}

/** A copy, since the packet's memory is used again. */
function tokenOf(content: Buffer): Buffer {
  return Buffer.from(content.subarray(1, 1 + TOKEN_BYTES))
}

function isSame(one: Remote, other: Remote): boolean {
  return one.port === other.port && one.address === other.address
}
