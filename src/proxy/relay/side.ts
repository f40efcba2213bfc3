import type { ByteLeg, Cut, CutKind, Flow, JoiningLeg, LegEvents } from '../flow/index.ts'
import { Swap } from './swap.ts'

/** A change of the limits takes effect within this time. */
const MAX_SLOWED_MS = 500

/** Names a side of a flow by the workload there. */
export type SideName = 'source' | 'destination'

/** The relay, as its sides see it. */
export interface SideOwner {
  /** Bytes have arrived from a side, and are counted. */
  read(): void
  /** A side is held back, or no longer. */
  held(): void
  /** The end of the direction towards a side has been passed on. */
  finished(): void
  failed(cut: Cut): void
}

/** One side of a relay: receives the events of its leg, and hands the bytes to the leg of the other side. */
export class Side implements LegEvents {
  readonly #flow: Flow
  readonly #isSource: boolean
  readonly #relay: SideOwner
  #other: Side | undefined
  /** Sends the bytes for this side. */
  #leg: ByteLeg
  /** Receives the bytes from it: while it moves, the former leg. */
  #incoming: ByteLeg
  #former: ByteLeg | undefined
  #swap: Swap | undefined
  /** The other side's leg has no room. */
  #isHeldBack = false
  /** Set while it has sent more than a limit of bytes allows. */
  #slowed: NodeJS.Timeout | undefined
  /** Whether the direction towards this side has ended, and the one from it. */
  #hasEnded = false
  #hasIncomingEnded = false
  #isFinished = false
  #isClosed = false

  constructor(name: SideName, leg: ByteLeg, flow: Flow, relay: SideOwner) {
    this.#leg = leg
    this.#incoming = leg
    this.#flow = flow
    this.#isSource = name === 'source'
    this.#relay = relay
    if (flow.room !== undefined) leg.limit(flow.room)
  }

  get isHeldBack(): boolean {
    return this.#isHeldBack
  }

  get isFinished(): boolean {
    return this.#isFinished
  }

  get waitingBytes(): number {
    return this.#leg.waitingBytes + (this.#former?.waitingBytes ?? 0)
  }

  /** Begins, at both sides. */
  join(other: Side): void {
    this.#other = other
    other.#other = this
    // A leg may deliver earlier bytes, or report its end, at once.
    this.#leg.subscribe(this)
    if (!other.#isClosed) other.#leg.subscribe(other)
    if (this.#isClosed) return
    this.follow()
    other.follow()
  }

  /** Moves to another leg. `received` returns the bytes that have arrived from this side so far. */
  swap(leg: JoiningLeg, offset: number, received: () => number): void {
    const former = this.#leg
    if (former.swap !== undefined) {
      former.swap(leg)
      return
    }
    const arrived = (): void => {
      this.#incoming = leg
    }
    const swap = new Swap({ side: this, former, hasEnded: this.#hasIncomingEnded, received, arrived })
    this.#former = former
    this.#leg = leg
    if (this.#flow.room !== undefined) leg.limit(this.#flow.room)
    this.#swap = swap
    former.subscribe(swap.former)
    leg.subscribe(swap)
    leg.start(this.#hasEnded ? undefined : offset)
    this.#other?.drain()
  }

  data(bytes: Buffer, release?: () => void): boolean {
    const other = this.#other
    if (this.#isClosed || other === undefined) {
      release?.()
      return true
    }
    if (this.#isSource) this.#flow.bytesOut += bytes.length
    else this.#flow.bytesIn += bytes.length
    this.#relay.read()
    const waitMs = this.#flow.pace?.use(bytes.length) ?? 0
    if (waitMs > 0) this.#slow(waitMs)
    if (other.#leg.send(bytes, release)) return this.#slowed === undefined
    this.#isHeldBack = true
    this.#relay.held()
    return false
  }

  ended(): void {
    this.#hasIncomingEnded = true
    this.#other?.end()
  }

  drained(): void {
    this.#other?.drain()
  }

  finished(): void {
    this.#isFinished = true
    this.#relay.finished()
  }

  failed(cut: Cut): void {
    this.#relay.failed(cut)
  }

  /** Continues or pauses reading, as the other side has room or not. */
  follow(): void {
    if (this.#isHeldBack || this.#slowed !== undefined) this.#incoming.pause()
    else this.#incoming.resume()
  }

  /** The other side has room again. */
  drain(): void {
    if (!this.#isHeldBack) return
    this.#isHeldBack = false
    this.#relay.held()
    if (this.#slowed === undefined) this.#incoming.resume()
  }

  /** Nothing more is sent to this side. */
  end(): void {
    this.#hasEnded = true
    this.#leg.end()
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#slowed)
    this.#leg.close()
    this.#former?.close()
  }

  abort(kind: CutKind): void {
    this.#isClosed = true
    clearTimeout(this.#slowed)
    // The former leg reports the reason, which must leave first.
    this.#former?.abort(kind)
    this.#leg.abort(kind)
    this.#swap?.drop()
  }

  // The bytes have passed: the next read waits, so that nothing is kept meanwhile.
  #slow(waitMs: number): void {
    const { pace } = this.#flow
    clearTimeout(this.#slowed)
    this.#slowed = setTimeout(
      () => {
        this.#slowed = undefined
        // The limits may have changed.
        const leftMs = pace === this.#flow.pace ? waitMs - MAX_SLOWED_MS : (this.#flow.pace?.use(0) ?? 0)
        if (leftMs > 0) this.#slow(leftMs)
        else if (!this.#isClosed && !this.#isHeldBack) this.#incoming.resume()
      },
      Math.min(waitMs, MAX_SLOWED_MS)
    )
  }
}
