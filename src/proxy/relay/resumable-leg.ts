import type { ByteLeg, Cut, CutKind, JoiningLeg, LegEvents, Room } from '../flow/index.ts'
import { type AckEntry, Continuity, Discontinuity, type KeptAccount, type Missing, type Offer, type ResumeLink } from '../resume/index.ts'
import { Milestones, streamLeg } from '../legs/index.ts'
import type { StreamEnd } from './ends.ts'
import { Swap, TWICE } from './swap.ts'

/** A path that was lost within this time has carried nothing if nothing has arrived on it. */
const SHORT_MS = 5_000
/** After so many of them, one after the other, the paths are not what is wrong. */
const MAX_FRUITLESS = 8
/** After so many losses a flow stays on its stream: something between the hosts may harm connections beside a session. */
const MAX_MOVING_LOSSES = 4

/** What happens to a resumable flow. */
export interface ResumableEvents {
  /** The path is lost: the flow waits for another. */
  readonly waits: (leg: ResumableLeg) => void
  /** It continues. */
  readonly resumed: (leg: ResumableLeg, carrier: string) => void
  /** The flow has ended: `kind` says why, undefined if in order. It never continues. Called once. */
  readonly over: (leg: ResumableLeg, kind: CutKind | undefined) => void
  /** It is on this stream now, until `pathNow` says otherwise. */
  readonly onPath: (far: StreamEnd) => void
}

/** A stream on which a flow continues. */
export interface NewPath extends StreamEnd {
  readonly link: ResumeLink
  /** In words for people. */
  readonly carrier: string
}

/** What carries the flow now. */
export interface PathNow {
  /** Settled when it is lost, with a reason, or when the flow has ended in order. */
  readonly over: Promise<Cut | undefined>
  readonly isOver: () => boolean
}

export interface ResumableOptions {
  readonly link: ResumeLink
  readonly account: KeptAccount
  readonly windowMs: number
  readonly events: ResumableEvents
}

interface Life {
  readonly over: Promise<Cut | undefined>
  readonly end: (cut: Cut | undefined) => void
}

/**
 * The side of the other agent, whatever carries its bytes: when its leg is lost, the flow waits for another one and continues at
 * the exact byte.
 */
export class ResumableLeg implements ByteLeg {
  // What is sent is copied before `send` returns.
  readonly copies = true
  readonly #options: ResumableOptions
  readonly #continuity: Continuity
  readonly #milestones = new Milestones()
  #link: ResumeLink
  #entry: AckEntry | undefined
  #events: LegEvents | undefined
  /** Bytes are sent here. Undefined while the flow waits. */
  #path: ByteLeg | undefined
  /** Bytes come from here: while it moves, from the former. */
  #incoming: ByteLeg | undefined
  #former: ByteLeg | undefined
  #swap: Swap | undefined
  #life: Life = newLife()
  #room: Room | undefined
  #isPaused = true
  /** A caller of `send` waits for room. */
  #isAwaited = false
  #hasFinished = false
  #window: NodeJS.Timeout | undefined
  #losses = 0
  #fruitless = 0
  #begun = { atMs: performance.now(), progress: 0 }

  constructor(path: ByteLeg, options: ResumableOptions) {
    this.#path = path
    this.#incoming = path
    this.#options = options
    this.#link = options.link
    this.#continuity = new Continuity(options.account)
  }

  get link(): ResumeLink {
    return this.#link
  }

  get isWaiting(): boolean {
    return this.#continuity.isWaiting
  }

  get isOver(): boolean {
    return this.#continuity.isOver
  }

  get pathNow(): PathNow {
    const life = this.#life
    return { over: life.over, isOver: () => this.#life !== life }
  }

  /** Whether a connection of its own is worth another attempt. */
  get mayMove(): boolean {
    return this.#losses < MAX_MOVING_LOSSES
  }

  get deliveredBytes(): number {
    return this.#continuity.acknowledgedBytes
  }

  get waitingBytes(): number {
    const kept = this.isWaiting ? this.#continuity.memoryBytes : 0
    return kept + (this.#path?.waitingBytes ?? 0) + (this.#former?.waitingBytes ?? 0)
  }

  limit(room: Room): void {
    this.#room = room
    this.#path?.limit(room)
  }

  subscribe(events: LegEvents): void {
    const isFirst = this.#events === undefined
    this.#events = events
    const path = this.#path
    if (!isFirst || path === undefined) return
    this.#attach()
    path.subscribe(this.#eventsOf(this.#life))
  }

  send(bytes: Buffer, release?: () => void): boolean {
    const continuity = this.#continuity
    if (continuity.isOver || continuity.hasEnded) {
      release?.()
      return false
    }
    continuity.send(bytes)
    let hasRoom = false
    const path = this.#path
    if (path?.copies === true) hasRoom = path.send(bytes)
    else if (path !== undefined) {
      for (const piece of continuity.last(bytes.length) ?? [Buffer.from(bytes)]) hasRoom = path.send(piece)
    }
    release?.()
    if (!hasRoom) this.#isAwaited = true
    return hasRoom
  }

  end(): void {
    if (this.#continuity.hasEnded || this.isOver) return
    this.#continuity.end()
    this.#path?.end()
  }

  pause(): void {
    this.#isPaused = true
    this.#incoming?.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#incoming?.resume()
  }

  delivered(offset: number, then: () => void): void {
    if (this.deliveredBytes >= offset) then()
    else this.#milestones.add(offset, then)
  }

  abort(kind: CutKind): void {
    if (!this.#end(kind)) return
    this.#leave(kind)
  }

  close(): void {
    if (!this.#end(undefined)) return
    const [former, path] = [this.#former, this.#path]
    this.#forgetPath(undefined)
    former?.close()
    path?.close()
  }

  /** Moves to another leg beside the present one, of the same session. */
  swap(leg: JoiningLeg): void {
    const former = this.#path
    const continuity = this.#continuity
    if (former === undefined || continuity.isOver) {
      leg.abort('link')
      return
    }
    const side = {
      ...this.#eventsOf(this.#life),
      follow: () => (this.#isPaused ? this.#incoming?.pause() : this.#incoming?.resume())
    }
    const swap = new Swap({
      side,
      former,
      hasEnded: continuity.hasReceivedEnd,
      received: () => continuity.receivedBytes,
      arrived: () => {
        this.#incoming = leg
      }
    })
    this.#former = former
    this.#path = leg
    this.#swap = swap
    if (this.#room !== undefined) leg.limit(this.#room)
    former.subscribe(swap.former)
    leg.subscribe(swap)
    leg.start(continuity.hasEnded ? undefined : continuity.sentBytes)
    this.#tellRoom()
  }

  /** Begins an attempt to continue, at the end that opened the flow. Throws a Discontinuity once that is over. */
  offer(): Offer {
    return this.#continuity.offer()
  }

  /** Continues on a stream: the other end has granted our attempt. Throws a Discontinuity, and changes nothing, if it cannot have. */
  granted(answer: Offer, far: NewPath): void {
    this.#continueOn(far, this.#continuity.granted(answer))
  }

  /**
   * Accepts an attempt of the other end. `begin` is called with our position, before anything is sent on the stream. Throws a
   * Discontinuity, and changes nothing.
   */
  accept(offer: Offer, far: NewPath, begin: (position: number) => void): void {
    const missing = this.#continuity.accept(offer)
    // The opener may have noticed the loss first.
    this.#leave('link')
    begin(missing.position)
    this.#continueOn(far, missing)
  }

  /** The flow has ended in order at the other end, which has everything. Gives up if that cannot be. */
  endedThere(): void {
    const continuity = this.#continuity
    if (!continuity.hasEnded || !continuity.hasReceivedEnd) this.giveUp({ kind: 'link', text: 'the flow has ended there' })
    else this.#acknowledge(continuity.sentBytes + 1)
  }

  /** The other end refuses that the flow continues, or no path was found in time. */
  giveUp(cut: Cut): void {
    if (!this.isOver) this.#events?.failed(cut)
  }

  #continueOn(far: NewPath, { pieces, hasEnded }: Missing): void {
    clearTimeout(this.#window)
    const path = streamLeg(far.stream)
    const life = newLife()
    this.#life = life
    this.#path = path
    this.#incoming = path
    this.#link = far.link
    this.#begun = { atMs: performance.now(), progress: this.#progress }
    if (this.#room !== undefined) path.limit(this.#room)
    this.#attach()
    const { events } = this.#options
    events.resumed(this, far.carrier)
    path.subscribe(this.#eventsOf(life))
    let hasRoom = true
    for (const piece of pieces) if (this.#life === life) hasRoom = path.send(piece)
    if (this.#life !== life) return
    if (hasEnded) path.end()
    events.onPath(far)
    if (!this.#isPaused) path.resume()
    this.#noted()
    if (hasRoom) this.#tellRoom()
    this.#finishIfDone()
  }

  #eventsOf(life: Life): LegEvents {
    const isCurrent = (): boolean => this.#life === life && !this.isOver
    return {
      data: (bytes, release) => {
        if (!isCurrent()) {
          release?.()
          return true
        }
        this.#continuity.received(bytes.length)
        this.#noted()
        return this.#events?.data(bytes, release) ?? true
      },
      ended: () => {
        // After a loss the other end repeats its end.
        if (!isCurrent() || this.#continuity.hasReceivedEnd) return
        this.#continuity.receivedEnd()
        this.#noted()
        this.#events?.ended()
      },
      drained: () => {
        if (isCurrent()) this.#tellRoom()
      },
      // It may be under way, and lost: it is the other end's word that counts.
      finished: () => {},
      failed: cut => {
        if (!isCurrent()) return
        if (cut.kind !== 'link' || cut === TWICE) this.#events?.failed(cut)
        else this.#lose()
      }
    }
  }

  #attach(): void {
    const { acks, ref } = this.#link
    this.#entry = acks.attach(ref, {
      onAck: position => this.#acknowledge(position),
      onLost: () => this.#lose(),
      position: () => this.#continuity.position
    })
  }

  #acknowledge(position: number): void {
    try {
      this.#continuity.acknowledge(position)
    } catch (err) {
      this.giveUp({ kind: 'link', text: reasonOf(err) })
      return
    }
    this.#milestones.reach(this.deliveredBytes)
    this.#finishIfDone()
  }

  #finishIfDone(): void {
    if (this.#hasFinished || this.isOver || !this.#continuity.isAcknowledged) return
    this.#hasFinished = true
    this.#events?.finished()
  }

  /** Grows with each byte that arrives at either end. */
  get #progress(): number {
    return this.#continuity.receivedBytes + this.#continuity.acknowledgedBytes
  }

  #noted(): void {
    if (this.#entry?.isDue === false) this.#link.acks.note(this.#entry)
  }

  #tellRoom(): void {
    if (!this.#isAwaited) return
    this.#isAwaited = false
    this.#events?.drained()
  }

  /** The flow waits from now on. */
  #lose(): void {
    if (!this.#continuity.lost()) return
    this.#leave('link')
    const { windowMs, events } = this.#options
    this.#losses += 1
    const isFruitless = this.#progress === this.#begun.progress && performance.now() - this.#begun.atMs < SHORT_MS
    this.#fruitless = isFruitless ? this.#fruitless + 1 : 0
    if (this.#fruitless >= MAX_FRUITLESS) {
      this.giveUp({ kind: 'link', text: 'each link to the other agent is lost at once' })
      return
    }
    this.#window = setTimeout(() => {
      this.giveUp({ kind: 'link', text: `the link to the other agent was lost, and not found again in ${windowMs / 1_000} s` })
    }, windowMs)
    events.waits(this)
  }

  /** Nothing of the present path counts any more. */
  #leave(kind: CutKind): void {
    const [former, path] = [this.#former, this.#path]
    this.#forgetPath({ kind, text: 'the path was given up' })
    // The former leg reports the reason, which must leave first.
    former?.abort(kind)
    path?.abort(kind)
  }

  #forgetPath(cut: Cut | undefined): void {
    const { acks, left } = this.#link
    const [life, entry] = [this.#life, this.#entry]
    this.#life = newLife()
    this.#swap?.drop()
    this.#swap = undefined
    this.#former = undefined
    this.#path = undefined
    this.#incoming = undefined
    this.#entry = undefined
    if (entry !== undefined) acks.detach(entry)
    left?.()
    life.end(cut)
  }

  #end(kind: CutKind | undefined): boolean {
    if (this.isOver) return false
    clearTimeout(this.#window)
    this.#continuity.over()
    this.#options.events.over(this, kind)
    return true
  }
}

function newLife(): Life {
  const { promise, resolve } = Promise.withResolvers<Cut | undefined>()
  return { over: promise, end: resolve }
}

function reasonOf(err: unknown): string {
  return err instanceof Discontinuity ? `the flow cannot continue: ${err.message}` : String(err)
}
