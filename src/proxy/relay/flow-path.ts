import type { ByteLeg, Cut, CutKind, JoiningLeg, Keeper, LegEvents, Room } from '../flow/index.ts'
import { Swap } from './swap.ts'

/** Receives the events of a path. */
export interface PathSide extends Pick<LegEvents, 'data' | 'ended' | 'drained' | 'failed'> {
  /** Bytes that have arrived from this side so far, on any path. */
  readonly received: () => number
  readonly hasReceivedEnd: () => boolean
}

/** One path of a flow, from its begin to its loss: a leg, and the one to which it may move. */
export class FlowPath {
  /** Settled when it is left, with a reason, or when the flow has ended in order. */
  readonly over: Promise<Cut | undefined>
  readonly #side: PathSide
  readonly #settle: (cut: Cut | undefined) => void
  /** Bytes are sent here. */
  #leg: ByteLeg
  /** Bytes come from here: while it moves, from the former. */
  #incoming: ByteLeg
  #former: ByteLeg | undefined
  #swap: Swap | undefined
  #isPaused = true
  #isOver = false

  constructor(leg: ByteLeg, side: PathSide) {
    const { promise, resolve } = Promise.withResolvers<Cut | undefined>()
    this.over = promise
    this.#settle = resolve
    this.#leg = leg
    this.#incoming = leg
    this.#side = side
  }

  get isOver(): boolean {
    return this.#isOver
  }

  get waitingBytes(): number {
    return this.#leg.waitingBytes + (this.#former?.waitingBytes ?? 0)
  }

  limit(room: Room): void {
    this.#leg.limit(room)
  }

  subscribe(): void {
    this.#leg.subscribe(this.#events)
  }

  send(bytes: Buffer): boolean {
    return !this.#isOver && this.#leg.send(bytes)
  }

  /** As `send`, and gives the bytes to `keeper`; undefined, and nothing is done, if the leg cannot keep them as they leave. */
  sendKept(bytes: Buffer, keeper: Keeper): boolean | undefined {
    return this.#isOver ? undefined : this.#leg.sendKept?.(bytes, keeper)
  }

  end(): void {
    if (!this.#isOver) this.#leg.end()
  }

  pause(): void {
    this.#isPaused = true
    if (!this.#isOver) this.#incoming.pause()
  }

  resume(): void {
    this.#isPaused = false
    if (!this.#isOver) this.#incoming.resume()
  }

  /** Moves to another leg. `offset`: what was sent so far; undefined if the direction has ended. */
  swap(leg: JoiningLeg, offset: number | undefined): void {
    const [former, side] = [this.#leg, this.#side]
    const swap = new Swap({
      side: { ...this.#events, follow: () => (this.#isPaused ? this.#incoming.pause() : this.#incoming.resume()) },
      former,
      hasEnded: side.hasReceivedEnd(),
      received: side.received,
      arrived: () => {
        this.#incoming = leg
      }
    })
    this.#former = former
    this.#leg = leg
    this.#swap = swap
    former.subscribe(swap.former)
    leg.subscribe(swap)
    leg.start(offset)
  }

  /** Nothing of it counts any more. Idempotent. */
  abort(kind: CutKind): void {
    if (this.#isOver) return
    this.#leave({ kind, text: 'the path was given up' })
    // The former leg reports the reason, which must leave first.
    this.#former?.abort(kind)
    this.#leg.abort(kind)
  }

  /** Both directions have ended. Idempotent. */
  close(): void {
    if (this.#isOver) return
    this.#leave(undefined)
    this.#former?.close()
    this.#leg.close()
  }

  #leave(cut: Cut | undefined): void {
    this.#isOver = true
    this.#swap?.drop()
    this.#settle(cut)
  }

  readonly #events: LegEvents = {
    data: (bytes, release) => {
      if (!this.#isOver) return this.#side.data(bytes, release)
      release?.()
      return true
    },
    ended: () => {
      if (!this.#isOver) this.#side.ended()
    },
    drained: () => {
      if (!this.#isOver) this.#side.drained()
    },
    // It may be under way, and lost: it is the other end's word that counts.
    finished: () => {},
    failed: cut => {
      if (!this.#isOver) this.#side.failed(cut)
    }
  }
}
