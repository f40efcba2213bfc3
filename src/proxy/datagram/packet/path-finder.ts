import type { Logger } from '../../../core/index.ts'
import type { Remote } from '../../../udp/index.ts'
import type { Sender } from '../../aead/index.ts'
import { Kind, SIZES } from './format.ts'
import { DatagramPath } from './path.ts'
import { PendingPings } from './pending-pings.ts'
import { encodeProbe, newToken, type Probe } from './probe.ts'
import type { SealedLink } from './sealed-link.ts'

/** Interval of pings on a path that is used. */
const PING_MS = 400
/** Longest pause between attempts to find the path again; the first is PING_MS. */
const MAX_PAUSE_MS = 10_000
/** Maximum of addresses of the other agent that are tried. */
const MAX_REMOTES = 4

export interface PathFinderOptions {
  /** Which end of the session this is. */
  readonly role: Sender
  /** Possible addresses of the other end. The server's end learns them from authentic packets. */
  readonly remotes: readonly Remote[]
  readonly machine: string
  readonly nowMs: () => number
  readonly log: Logger
}

/**
 * Finds out where packets arrive, and notices when they no longer do.
 *
 * Each end pings for its own direction, with a ping as large as a packet may become: repeatedly while the path is used,
 * and now and then while there is none. Only authentic packets are answered, each with no more bytes than it has,
 * twice.
 */
export class PathFinder {
  readonly #link: SealedLink
  readonly #options: PathFinderOptions
  readonly #pings = new PendingPings()
  #remotes: readonly Remote[]
  #path: DatagramPath | undefined
  #nextProbeMs = 0
  #pauseMs = PING_MS
  #timer: NodeJS.Timeout | undefined

  constructor(link: SealedLink, options: PathFinderOptions) {
    this.#link = link
    this.#options = options
    this.#remotes = options.remotes.slice(0, MAX_REMOTES)
  }

  /** Where packets arrive now. */
  get path(): DatagramPath | undefined {
    return this.#path
  }

  /** Begins to look for a path, unless it does already. */
  start(): void {
    if (this.#timer !== undefined) return
    this.#timer = setInterval(() => this.#tick(), PING_MS)
    this.#tick()
  }

  /** Stops looking, and forgets the path. */
  idle(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#forgetPath(0)
  }

  /** Answers an authentic ping that came in a packet of `size` bytes. */
  answer({ token }: Probe, size: number, from: Remote): void {
    const pong = encodeProbe(Kind.Pong, token, size)
    if (this.#link.sealInPlace(pong)) this.#link.send(pong, from)
    const path = this.#path
    if (path !== undefined && (this.#options.role === 'client' || isSame(path.remote, from))) return
    // The server's end knows only the addresses that authentic packets come from; it pings each before it uses it.
    if (this.#options.role === 'server') this.#remotes = [from]
    else if (!this.#remotes.some(remote => isSame(remote, from))) return
    this.#ping(from, SIZES[0])
  }

  /** Handles an authentic pong. */
  answered({ token, features }: Probe): void {
    const ping = this.#pings.take(token)
    if (ping === undefined) return
    this.#link.confirm(ping.epoch)
    const path = this.#path
    if (path !== undefined && isSame(path.remote, ping.remote)) {
      path.answered(ping.size)
      return
    }
    // The first of several addresses to answer stays; the server's end follows a client whose address changed.
    if (path !== undefined && this.#options.role === 'client') return
    this.#pauseMs = PING_MS
    this.#path = new DatagramPath(ping.remote, features, ping.size, this.#options.nowMs())
    this.#options.log.debug('datagram path found', { machine: this.#options.machine, remote: ping.remote.address })
    this.#grow(this.#path)
  }

  #tick(): void {
    const now = this.#options.nowMs()
    const path = this.#path
    if (path === undefined) {
      this.#probe(now)
    } else if (path.isDead(now)) {
      this.#options.log.debug('datagram path lost, using capsules', { machine: this.#options.machine })
      this.#forgetPath(now)
    } else if (path.needsPing(now)) {
      path.pinged(now)
      this.#ping(path.remote, path.size)
      this.#grow(path)
    }
  }

  #probe(now: number): void {
    if (now < this.#nextProbeMs) return
    this.#nextProbeMs = now + this.#pauseMs
    this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_PAUSE_MS)
    for (const remote of this.#remotes) this.#ping(remote, SIZES[0])
  }

  #forgetPath(nextProbeMs: number): void {
    this.#path = undefined
    this.#pings.clear()
    this.#nextProbeMs = nextProbeMs
    this.#pauseMs = PING_MS
  }

  #grow(path: DatagramPath): void {
    const larger = path.nextSize()
    if (larger !== undefined) this.#ping(path.remote, larger)
  }

  #ping(remote: Remote, size: number): void {
    const token = newToken()
    const packet = encodeProbe(Kind.Ping, token, size)
    if (!this.#link.sealInPlace(packet)) return
    this.#pings.add(token, { remote, size, epoch: this.#link.epoch })
    this.#link.send(packet, remote)
  }
}

function isSame(one: Remote, other: Remote): boolean {
  return one.port === other.port && one.address === other.address
}
