import type { Logger } from '../../../core/index.ts'
import type { Remote } from '../../../udp/index.ts'
import type { Sender } from '../../aead/index.ts'
import { Feature, Kind, SIZES } from './format.ts'
import { DatagramPath } from './path.ts'
import { PendingPings } from './pending-pings.ts'
import { encodeProbe, newToken, OWN_FEATURES, type Probe } from './probe.ts'
import type { SealedLink } from './sealed-link.ts'

/** Interval of pings on a path that is used. */
const PING_MS = 400
/** Longest pause between attempts to find the path again; the first is PING_MS. */
const MAX_PAUSE_MS = 10_000
/** Maximum of addresses of the other agent that are tried. */
const MAX_REMOTES = 4
/** The other end may name any address: one from which no packet comes is pinged for so long, a few times. */
export const MET_MS = 6_000

/** Finds out more of where the other end is, while no path is known. */
export interface Seeker {
  /** Called again and again while no address of the other end answers. */
  readonly unanswered: () => void
  readonly found: () => void
}

export interface PathFinderOptions {
  /** Which end of the session this is. */
  readonly role: Sender
  /** Possible addresses of the other end. The server's end learns them from authentic packets. */
  readonly remotes: readonly Remote[]
  /** Further addresses of the other end, for a second path. @default none */
  readonly others?: readonly Remote[] | undefined
  /** @default nothing more can be found out */
  readonly seeker?: Seeker | undefined
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
  /** Where the other end says that it comes from, until that time. */
  #met: { readonly remote: Remote; readonly untilMs: number } | undefined
  #path: DatagramPath | undefined
  #second: DatagramPath | undefined
  #nextProbeMs = 0
  #pauseMs = PING_MS
  #nextSecondMs = 0
  #secondPauseMs = PING_MS
  /** Whether a second path is looked for. The server's end finds one where the other end looks for it. */
  wantsTwo = false
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

  /** Where packets arrive as well, on another path. */
  get second(): DatagramPath | undefined {
    return this.#second
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

  /** Looks at `remote` as well, for some seconds: the other end says that its packets come from there, and looks here too. */
  meet(remote: Remote): void {
    const hasPath = this.#path !== undefined
    // The server's end may not have noticed yet that the client has another address.
    if (this.#timer === undefined || (hasPath && this.#options.role === 'client')) return
    const now = this.#options.nowMs()
    this.#meetAt(remote, now)
    this.#pauseMs = PING_MS
    this.#nextProbeMs = now
    if (hasPath) this.#pingMet(now)
    else this.#probe(now)
  }

  /** Answers an authentic ping that came in a packet of `size` bytes. */
  answer({ token, features }: Probe, size: number, from: Remote): void {
    const pong = encodeProbe(Kind.Pong, token, size)
    if (this.#link.sealInPlace(pong)) this.#link.send(pong, from)
    const path = this.#path
    if (path !== undefined && (this.#options.role === 'client' || isSame(path.remote, from))) return
    if (this.#second !== undefined && isSame(this.#second.remote, from)) return
    if (path !== undefined && (features & Feature.TwoPaths) !== 0) {
      this.#ping(from, SIZES[0], true)
      return
    }
    // The server's end knows only the addresses that authentic packets come from; it pings each before it uses it.
    if (this.#options.role === 'server') this.#remotes = [from]
    // The NAT of the other end may give it another port for this host than for the one that has seen it.
    else if (this.#met === undefined && !this.#remotes.some(remote => isSame(remote, from))) return
    this.#ping(from, SIZES[0])
  }

  /** Handles an authentic pong. */
  answered({ token, features }: Probe): void {
    const ping = this.#pings.take(token)
    if (ping === undefined) return
    this.#link.confirm(ping.epoch)
    const path = this.#path
    const known = [path, this.#second].find(one => one !== undefined && isSame(one.remote, ping.remote))
    if (known !== undefined) {
      known.answered(ping.size)
      return
    }
    if (path !== undefined && ping.isForSecond) {
      this.#foundSecond(new DatagramPath(ping.remote, features, ping.size, this.#options.nowMs()))
      return
    }
    // The first of several addresses to answer stays; the server's end follows a client whose address changed.
    if (path !== undefined && this.#options.role === 'client') return
    this.#pauseMs = PING_MS
    this.#path = new DatagramPath(ping.remote, features, ping.size, this.#options.nowMs())
    this.#options.log.debug('datagram path found', { machine: this.#options.machine, remote: ping.remote.address })
    this.#met = undefined
    this.#options.seeker?.found()
    this.#grow(this.#path)
  }

  #tick(): void {
    const now = this.#options.nowMs()
    const path = this.#path
    if (path === undefined) {
      this.#probe(now)
      this.#options.seeker?.unanswered()
    } else if (path.isDead(now)) {
      const second = this.#second
      const next = second === undefined ? 'using capsules' : 'using the second one'
      this.#options.log.debug(`datagram path lost, ${next}`, { machine: this.#options.machine })
      if (second === undefined) {
        this.#forgetPath(now)
        // Through a NAT it may answer again, and the session that the two would meet by may stand still.
        if (!this.#remotes.some(remote => isSame(remote, path.remote))) this.#meetAt(path.remote, now)
      } else this.#path = second
      this.#second = undefined
    } else {
      this.#keep(path, now)
      this.#tickSecond(path, now)
      this.#pingMet(now)
    }
  }

  #keep(path: DatagramPath, now: number): void {
    if (!path.needsPing(now)) return
    path.pinged(now)
    this.#ping(path.remote, path.size)
    this.#grow(path)
  }

  #tickSecond(path: DatagramPath, now: number): void {
    const second = this.#second
    if (second?.isDead(now) === true) this.#second = undefined
    else if (second !== undefined) this.#keep(second, now)
    else if (this.wantsTwo && path.isOfTwo && this.#options.role === 'client' && now >= this.#nextSecondMs) {
      this.#nextSecondMs = now + this.#secondPauseMs
      this.#secondPauseMs = Math.min(this.#secondPauseMs * 2, MAX_PAUSE_MS)
      for (const remote of this.#all()) if (!isSame(remote, path.remote)) this.#ping(remote, SIZES[0], true)
    }
  }

  #foundSecond(path: DatagramPath): void {
    // The first to answer stays; the server's end follows a client whose address changed.
    if (this.#second !== undefined && this.#options.role === 'client') return
    this.#secondPauseMs = PING_MS
    this.#second = path
    this.#options.log.debug('second datagram path found', {
      machine: this.#options.machine,
      remote: path.remote.address
    })
    this.#grow(path)
  }

  /** Every address of the other end. */
  #all(): Remote[] {
    return [...this.#remotes, ...(this.#options.others ?? [])].slice(0, MAX_REMOTES)
  }

  #probe(now: number): void {
    if (now < this.#nextProbeMs) return
    this.#nextProbeMs = now + this.#pauseMs
    this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_PAUSE_MS)
    for (const remote of this.wantsTwo ? this.#all() : this.#remotes) this.#ping(remote, SIZES[0])
    this.#pingMet(now)
  }

  #meetAt(remote: Remote, now: number): void {
    this.#met = { remote, untilMs: now + MET_MS }
  }

  #pingMet(now: number): void {
    if (this.#met === undefined) return
    if (now >= this.#met.untilMs) this.#met = undefined
    else this.#ping(this.#met.remote, SIZES[0])
  }

  #forgetPath(nextProbeMs: number): void {
    this.#path = undefined
    this.#second = undefined
    this.#met = undefined
    this.#nextSecondMs = 0
    this.#secondPauseMs = PING_MS
    this.#pings.clear()
    this.#nextProbeMs = nextProbeMs
    this.#pauseMs = PING_MS
  }

  #grow(path: DatagramPath): void {
    const larger = path.nextSize()
    if (larger !== undefined) this.#ping(path.remote, larger)
  }

  #ping(remote: Remote, size: number, isForSecond = false): void {
    const token = newToken()
    // Without the bit, the server's end leaves its path for the one that a ping comes on.
    const features = this.wantsTwo ? OWN_FEATURES : Feature.Datagrams
    const packet = encodeProbe(Kind.Ping, token, size, features)
    if (!this.#link.sealInPlace(packet)) return
    this.#pings.add(token, { remote, size, epoch: this.#link.epoch, isForSecond })
    this.#link.send(packet, remote)
  }
}

function isSame(one: Remote, other: Remote): boolean {
  return one.port === other.port && one.address === other.address
}
