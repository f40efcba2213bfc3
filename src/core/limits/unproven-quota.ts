/**
 * Why a connection loses its place: it sent nothing in time; it made room for another; it is the newest where no other can make
 * room.
 */
export type PlaceLoss = 'silent' | 'displaced' | 'refused'

export interface UnprovenBounds {
  readonly total: number
  readonly perNetwork: number
  /** Time for the first bytes, in milliseconds. */
  readonly silentMs: number
}

/** The place of one connection. */
export interface UnprovenPlace {
  /** Notes that the other side has sent something. */
  heard(): void
  /** Gives the place back: the connection has proved an identity, or is closed. More calls do nothing. */
  release(): void
  /** Replaces the function that ends the connection when it loses its place. */
  onLoss(close: (why: PlaceLoss) => void): void
}

interface Network {
  readonly name: string
  size: number
}

interface Member extends UnprovenPlace {
  readonly network: Network
  readonly beganMs: number
  lose(why: PlaceLoss): void
}

/** A connection that has sent something keeps its place until this age: it may be about to prove its identity. */
const GRACE_MS = 500

/**
 * Bounds the connections that have not proved an identity, and makes room rather than refuse the next one.
 *
 * Beyond a bound the oldest silent connection loses its place, else the oldest that makes no progress: one of the same network,
 * or one of the network with the most places. So a network that holds every place keeps no other one out. The newest is
 * refused only where all others are busy. A connection that sends nothing in time is closed in any case.
 */
export class UnprovenQuota {
  readonly #bounds: UnprovenBounds
  readonly #onFull: (bound: 'total' | 'perNetwork', network: string) => void
  readonly #networks = new Map<string, Network>()
  // In the order of their arrival.
  readonly #silent = new Set<Member>()
  readonly #heard = new Set<Member>()
  #newest: Member | undefined
  #isTrimming = false

  /** `onFull` is called for each connection that loses its place to a bound. */
  constructor(bounds: UnprovenBounds, onFull: (bound: 'total' | 'perNetwork', network: string) => void) {
    this.#bounds = bounds
    this.#onFull = onFull
  }

  /** Connections that have a place. */
  get size(): number {
    return this.#silent.size + this.#heard.size
  }

  /** Gives a place to a connection from a network. `close` must end it, and is called at most once: when the place is lost. */
  enter(name: string, close: (why: PlaceLoss) => void): UnprovenPlace {
    const network = this.#networks.get(name) ?? { name, size: 0 }
    this.#networks.set(name, network)
    network.size += 1
    const member = this.#member(network, close)
    this.#silent.add(member)
    this.#newest = member
    this.#trimSoon(network)
    return member
  }

  /** Ends all. */
  stop(): void {
    for (const member of [...this.#silent, ...this.#heard]) member.lose('displaced')
  }

  #member(network: Network, close: (why: PlaceLoss) => void): Member {
    let onLoss = close
    const leave = (): boolean => {
      clearTimeout(timer)
      if (!this.#silent.delete(member) && !this.#heard.delete(member)) return false
      network.size -= 1
      if (network.size === 0) this.#networks.delete(network.name)
      return true
    }
    const member: Member = {
      network,
      beganMs: performance.now(),
      heard: () => {
        clearTimeout(timer)
        if (this.#silent.delete(member)) this.#heard.add(member)
      },
      release: () => void leave(),
      onLoss: other => {
        onLoss = other
      },
      lose: why => {
        if (leave()) onLoss(why)
      }
    }
    const tooLate = (): void => {
      if (this.#silent.has(member)) member.lose('silent')
    }
    // If this process was busy, the bytes may be waiting to be read: that happens before the immediate.
    const timer = setTimeout(() => setImmediate(tooLate), this.#bounds.silentMs)
    return member
  }

  // Many connections can be accepted in one turn of the event loop, before the first bytes of any are read. So the choice is made
  // after the turn that reads them; until then there may be twice as many.
  #trimSoon({ size }: Network): void {
    const { total, perNetwork } = this.#bounds
    if (this.size >= 2 * total || size >= 2 * perNetwork) {
      this.#trim()
    } else if (!this.#isTrimming && (this.size > total || size > perNetwork)) {
      this.#isTrimming = true
      setImmediate(() => setImmediate(() => this.#trim()))
    }
  }

  #trim(): void {
    this.#isTrimming = false
    const { total, perNetwork } = this.#bounds
    for (const network of this.#networks.values()) {
      while (network.size > perNetwork) this.#displace('perNetwork', member => member.network === network)
    }
    while (this.size > total) {
      let most = 0
      for (const { size } of this.#networks.values()) most = Math.max(most, size)
      this.#displace('total', member => member.network.size === most)
    }
  }

  /** Takes the place of one of these connections. */
  #displace(bound: 'total' | 'perNetwork', isOf: (member: Member) => boolean): void {
    const graceMs = performance.now() - GRACE_MS
    const silent = firstOf(this.#silent, isOf)
    // The newest of all is not to be displaced by itself: it is refused, if no other makes room.
    const older = silent === this.#newest ? undefined : silent
    const other = older ?? firstOf(this.#heard, member => isOf(member) && member.beganMs < graceMs)
    const loser = other ?? lastOf(this.#silent, isOf) ?? lastOf(this.#heard, isOf)
    if (loser === undefined) return
    this.#onFull(bound, loser.network.name)
    loser.lose(other === undefined ? 'refused' : 'displaced')
  }
}

function firstOf(members: Iterable<Member>, isWanted: (member: Member) => boolean): Member | undefined {
  for (const member of members) if (isWanted(member)) return member
  return undefined
}

function lastOf(members: Iterable<Member>, isWanted: (member: Member) => boolean): Member | undefined {
  let last: Member | undefined
  for (const member of members) if (isWanted(member)) last = member
  return last
}
