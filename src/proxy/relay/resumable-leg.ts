import type { ByteLeg, Cut, CutKind, JoiningLeg, LegEvents, Room } from '../flow/index.ts'
import { Milestones, streamLeg } from '../legs/index.ts'
import { Continuity, Losses, type Missing, type Offer, type ResumeLink } from '../resume/index.ts'
import { Acknowledged } from './acknowledged.ts'
import { FlowPath } from './flow-path.ts'
import type { NewPath, ResumableOptions } from './resumable.ts'
import { SendRoom } from './send-room.ts'
import { TWICE } from './swap.ts'

/**
 * The side of the other agent, whatever carries its bytes: when its path is lost, the flow waits for another one and continues at
 * the exact byte.
 */
export class ResumableLeg implements ByteLeg {
  // What is sent is copied before `send` returns.
  readonly copies = true
  readonly #options: ResumableOptions
  readonly #continuity: Continuity
  readonly #milestones = new Milestones()
  readonly #losses = new Losses(performance.now())
  readonly #acknowledged: Acknowledged
  readonly #sending = new SendRoom(
    () => this.link.acks.isPrompt && this.#continuity.isAhead,
    () => this.#events?.drained()
  )
  #events: LegEvents | undefined
  /** The last one, which is over while the flow waits. */
  #path: FlowPath
  #room: Room | undefined
  #isPaused = true
  #hasFinished = false
  #isLeft = false
  #window: NodeJS.Timeout | undefined

  /** `continuity`: of a flow that another process has left. @default a new one */
  constructor(leg: ByteLeg, options: ResumableOptions, continuity = new Continuity(options.account)) {
    this.#options = options
    this.#continuity = continuity
    this.#path = this.#pathOn(leg)
    this.#acknowledged = new Acknowledged(options.link, {
      onAck: position => this.#acknowledge(position),
      onLost: () => this.#lose(),
      position: () => this.#continuity.position
    })
  }

  get link(): ResumeLink {
    return this.#acknowledged.link
  }

  /** What carries the flow now, or did last. */
  get path(): FlowPath {
    return this.#path
  }

  get isWaiting(): boolean {
    return this.#continuity.isWaiting && !this.#isLeft
  }

  get isOver(): boolean {
    return this.#continuity.isOver
  }

  /** Whether a connection of its own is worth another attempt. */
  get mayMove(): boolean {
    return this.#losses.mayMove
  }

  get deliveredBytes(): number {
    return this.#continuity.acknowledgedBytes
  }

  get waitingBytes(): number {
    return this.isWaiting ? this.#continuity.memoryBytes : this.#path.waitingBytes
  }

  limit(room: Room): void {
    this.#room = room
    this.#path.limit(room)
  }

  subscribe(events: LegEvents): void {
    const isFirst = this.#events === undefined
    this.#events = events
    if (!isFirst) return
    this.#acknowledged.attach()
    this.#path.subscribe()
  }

  send(bytes: Buffer, release?: () => void): boolean {
    let hasRoom = false
    if (!this.isOver && !this.#continuity.hasEnded) {
      hasRoom = this.#sending.sent(this.#path.sendKept(bytes, this.#continuity) ?? this.#sendCopy(bytes))
    }
    release?.()
    return hasRoom
  }

  end(): void {
    if (this.#continuity.hasEnded || this.isOver) return
    this.#continuity.end()
    this.#path.end()
  }

  pause(): void {
    this.#isPaused = true
    this.#path.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#path.resume()
  }

  delivered(offset: number, then: () => void): void {
    if (this.deliveredBytes >= offset) then()
    else this.#milestones.add(offset, then)
  }

  abort(kind: CutKind): void {
    if (!this.#end(kind)) return
    this.#acknowledged.detach()
    this.#path.abort(kind)
  }

  close(): void {
    if (!this.#end(undefined)) return
    this.#acknowledged.detach()
    this.#path.close()
  }

  /** Moves to another leg beside the present one, of the same session. */
  swap(leg: JoiningLeg): void {
    const { hasEnded, sentBytes, isOver } = this.#continuity
    if (isOver || this.#path.isOver) {
      leg.abort('link')
      return
    }
    if (this.#room !== undefined) leg.limit(this.#room)
    this.#path.swap(leg, hasEnded ? undefined : sentBytes)
    this.#sending.pathHasRoom()
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
    this.#acknowledged.detach()
    this.#path.abort('link')
    try {
      begin(missing.position)
    } catch (err) {
      this.#lose()
      throw err
    }
    this.#continueOn(far, missing)
  }

  /** Waits from now on: the path on which it was made is none. */
  begin(): void {
    this.#lose()
  }

  /** Leaves the path for good: the flow continues in another process. What is sent from now on is only kept. */
  leave(): void {
    this.#isLeft = true
    clearTimeout(this.#window)
    if (this.#continuity.lost()) this.#acknowledged.detach()
    this.#path.abort('link')
  }

  /** What the other process needs. */
  get state(): Continuity['state'] {
    return this.#continuity.state
  }

  /** The flow has ended in order at the other end, which has everything. Gives up if that cannot be. */
  endedThere(): void {
    const { hasEnded, hasReceivedEnd, sentBytes } = this.#continuity
    if (hasEnded && hasReceivedEnd) this.#acknowledge(sentBytes + 1)
    else this.giveUp({ kind: 'link', text: 'the flow has ended there' })
  }

  /** The other end refuses that the flow continues, or no path was found in time. */
  giveUp(cut: Cut): void {
    if (!this.isOver) this.#events?.failed(cut)
  }

  // The path may hold what it sends for longer than these bytes are valid, so it gets the copy.
  #sendCopy(bytes: Buffer): boolean {
    this.#continuity.keep(bytes)
    const copies = this.#path.isOver ? [] : (this.#continuity.last(bytes.length) ?? [Buffer.from(bytes)])
    return copies.reduce((_, copy) => this.#path.send(copy), false)
  }

  #pathOn(leg: ByteLeg): FlowPath {
    const continuity = this.#continuity
    return new FlowPath(leg, {
      data: (bytes, release) => {
        continuity.received(bytes.length)
        this.#acknowledged.note(bytes.length)
        return this.#events?.data(bytes, release) ?? true
      },
      ended: () => {
        // After a loss the other end repeats its end.
        if (continuity.hasReceivedEnd) return
        continuity.receivedEnd()
        this.#acknowledged.note()
        this.#events?.ended()
      },
      drained: () => this.#sending.pathHasRoom(),
      failed: cut => {
        if (cut.kind !== 'link' || cut === TWICE) this.#events?.failed(cut)
        else this.#lose()
      },
      received: () => continuity.receivedBytes,
      hasReceivedEnd: () => continuity.hasReceivedEnd
    })
  }

  #continueOn(far: NewPath, { pieces, hasEnded }: Missing): void {
    clearTimeout(this.#window)
    const path = this.#pathOn(streamLeg(far.stream))
    this.#path = path
    this.#acknowledged.link = far.link
    this.#losses.begun(performance.now(), this.#continuity.progress)
    if (this.#room !== undefined) path.limit(this.#room)
    this.#acknowledged.attach()
    this.#options.events.resumed(this, far.carrier)
    path.subscribe()
    let hasRoom = true
    for (const piece of pieces) hasRoom = path.send(piece)
    if (path.isOver) return
    if (hasEnded) path.end()
    this.#options.events.onPath(far)
    if (!this.#isPaused) path.resume()
    this.#acknowledged.note()
    if (hasRoom) this.#sending.pathHasRoom()
    this.#finishIfDone()
  }

  #acknowledge(position: number): void {
    try {
      this.#continuity.acknowledge(position)
    } catch (err) {
      const why = err instanceof Error ? err.message : String(err)
      this.giveUp({ kind: 'link', text: `the flow cannot continue: ${why}` })
      return
    }
    this.#milestones.reach(this.deliveredBytes)
    this.#finishIfDone()
    this.#sending.look()
  }

  #finishIfDone(): void {
    if (this.#hasFinished || this.isOver || !this.#continuity.isAcknowledged) return
    this.#hasFinished = true
    this.#events?.finished()
  }

  /** The flow waits from now on. */
  #lose(): void {
    if (!this.#continuity.lost()) return
    this.#acknowledged.detach()
    this.#path.abort('link')
    if (!this.#losses.lost(performance.now(), this.#continuity.progress)) {
      this.giveUp({ kind: 'link', text: 'each link to the other agent is lost at once' })
      return
    }
    const { windowMs, events } = this.#options
    const text = `the link to the other agent was lost, and not found again in ${windowMs / 1_000} s`
    this.#window = setTimeout(() => this.giveUp({ kind: 'link', text }), windowMs)
    events.waits(this)
  }

  #end(kind: CutKind | undefined): boolean {
    if (this.isOver) return false
    clearTimeout(this.#window)
    this.#continuity.over()
    this.#options.events.over(this, kind)
    return true
  }
}
