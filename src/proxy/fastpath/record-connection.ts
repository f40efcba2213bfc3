import type { Socket } from 'node:net'
import { AMPLE, type Keeper, type Room } from '../flow/index.ts'
import { closeInOrder, whenLost } from './close-in-order.ts'
import { DueGrant } from './due-grant.ts'
import { Kind, MAX_FIRST_BYTES, NOTHING, offsetContent, openWith, readOpenWith } from './format.ts'
import { openRecords, type RecordContents } from './open-records.ts'
import type { Phase, RecordConnectionEvents, RecordConnectionOptions, RecordEnds } from './record-events.ts'
import { RecordOutlet } from './record-outlet.ts'
import { type RecordReader, RecordViolation } from './record-reader.ts'
import { MAX_UNREAD_ANSWERS } from './waiting-writes.ts'

/** A TCP connection for the bytes of flows, in sealed records. */
export class RecordConnection {
  readonly #outlet: RecordOutlet
  readonly #reader: RecordReader
  readonly #options: RecordConnectionOptions
  readonly #grant = new DueGrant()
  #socket: Socket | undefined
  #events: RecordConnectionEvents
  /** Receives the events of a pooled connection while no flow is on it. */
  #idleEvents: RecordConnectionEvents | undefined
  #onClosed: (() => void) | undefined
  #phase: Phase = 'hello'
  #hasEnded = false
  #isPaused = false
  #isClosed = false

  constructor(ends: RecordEnds, options: RecordConnectionOptions, events: RecordConnectionEvents) {
    this.#options = options
    this.#outlet = new RecordOutlet(ends.writer, {
      failed: err => this.fail(err),
      passed: () => this.#events.passed?.(),
      drained: () => this.#events.drained?.()
    })
    this.#reader = ends.reader
    this.#events = events
  }

  /** Whether either end has closed it. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Whether it is pooled, and no flow is on it. */
  get isIdle(): boolean {
    return this.#phase === 'idle' && !this.#isClosed
  }

  /** Bytes given to `send` by all flows it has carried, and the number of them that have left this process. */
  get counted(): { readonly sentBytes: number; readonly passedBytes: number } {
    return this.#outlet
  }

  get waitingBytes(): number {
    return this.#outlet.waitingBytes + this.#reader.heldBytes
  }

  /** Bounds what waits here, until no flow is on it. */
  limit(room: Room): void {
    this.#outlet.room = room
  }

  /** Sets the socket that it uses. The owner of the socket gives `received` the bytes that it reads. */
  bind(socket: Socket): void {
    this.#socket = socket
    this.#outlet.socket = socket
    whenLost(socket, err => this.fail(err))
  }

  /** Sends all later events to `events`. */
  subscribe(events: RecordConnectionEvents): void {
    this.#events = events
  }

  /** Sets the receiver of events while no flow is on it, and of its end for any reason. */
  whenIdle(events: RecordConnectionEvents, onClosed: () => void): void {
    this.#idleEvents = events
    this.#events = events
    this.#onClosed = onClosed
  }

  /** Handles bytes that were read. Returns false when no more are wanted for now. */
  received(bytes: Buffer): boolean {
    // After `finish` only the end of the connection can arrive.
    if (this.#isClosed) return true
    try {
      openRecords(this.#reader, bytes, this.#contents)
    } catch (err) {
      this.fail(err instanceof Error ? err : new Error(String(err)))
    }
    if (this.#isPaused && this.#outlet.room.isScarce) this.#reader.shrink()
    return !this.#isPaused && !this.#isClosed
  }

  hello(): void {
    this.#write(Kind.Hello, NOTHING)
  }

  /** Moves our direction here: later bytes are those of the stream from `offset` on. */
  start(offset: number): void {
    this.#write(Kind.Start, offsetContent(offset))
  }

  /** Reports that our direction has ended on the stream. */
  stay(): void {
    this.#write(Kind.Stay, NOTHING)
  }

  /** Asks for a flow on an idle pooled connection, for `events`. `first`: bytes of it, if the other end takes them. */
  ask(open: Buffer, events: RecordConnectionEvents, first: Buffer = NOTHING): void {
    this.#events = events
    this.#phase = 'answer'
    if (first.length === 0) this.#write(Kind.Open, open)
    else this.#write(Kind.OpenWith, openWith(open, first))
  }

  /** Grants the flow that was asked for: its bytes may arrive now. `awaitsAnswer`: in a moment, or with the next `send`. */
  grant(awaitsAnswer = false): void {
    this.#phase = 'data'
    if (awaitsAnswer) this.#grant.wait(() => this.#write(Kind.Granted, NOTHING))
    else this.#write(Kind.Granted, NOTHING)
  }

  /** Refuses the flow; the connection is idle again. */
  refuse(refusal: Buffer): void {
    if (this.#isClosed) return
    this.#write(Kind.Refused, refusal)
    this.#becomeIdle()
  }

  /** Returns false when enough waits: `drained` is called later. Gives the bytes to `keeper`. */
  send(bytes: Buffer, keeper?: Keeper): boolean {
    return this.#outlet.send(this.#dataKind(bytes.length, keeper), bytes, keeper)
  }

  /** Ends our direction. `sent` is called when the end has left this process, with an error if it cannot. */
  end(sent: (err?: Error) => void): void {
    if (this.#grant.take()) this.#write(Kind.Granted, NOTHING)
    this.#outlet.write(Kind.End, NOTHING, sent)
    this.#hasEnded = true
    this.#restIfOver()
  }

  /** Stops reading until `resume`. */
  pause(): void {
    this.#isPaused = true
    if (!this.#isClosed) this.#socket?.pause()
  }

  /** Continues to read, after `pause` or after `data` returned false. */
  resume(): void {
    this.#isPaused = false
    if (!this.#isClosed) this.#socket?.resume()
  }

  /** Closes it, now that both directions have ended. */
  finish(): void {
    if (this.#isClosed) return
    this.#setClosed()
    if (this.#socket !== undefined) closeInOrder(this.#socket, this.#options.end === 'other')
  }

  /** Closes it at once, without an event. */
  destroy(): void {
    if (!this.#isClosed) this.#setClosed()
    this.#socket?.destroy()
  }

  /** Closes it at once, and reports the error. */
  fail(err: Error): void {
    if (this.#isClosed) return
    this.destroy()
    this.#events.closed(err)
  }

  readonly #contents: RecordContents = {
    data: (content, done) => {
      if (this.#isClosed) {
        done()
        return
      }
      this.#require('data')
      const isWanted = this.#events.data === undefined ? done() : this.#events.data(content, done)
      if (isWanted === false) this.#isPaused = true
    },
    control: (kind, content) => {
      if (!this.#isClosed) this.#control(kind, content)
    }
  }

  /** The record that is next: a grant that waits for an answer leaves with the first bytes of it. */
  #dataKind(size: number, keeper: Keeper | undefined): Kind {
    if (!this.#grant.take()) return Kind.Data
    if (size <= MAX_FIRST_BYTES && keeper === undefined) return Kind.GrantedWith
    this.#write(Kind.Granted, NOTHING)
    return Kind.Data
  }

  #control(kind: Kind, content: Buffer): void {
    switch (kind) {
      case Kind.Hello:
        this.#require('hello')
        this.#phase = this.#options.isPooled ? 'idle' : 'start'
        this.#events.hello?.()
        return
      case Kind.Start:
      case Kind.Stay:
        this.#require('start')
        this.#phase = kind === Kind.Start ? 'data' : 'ended'
        this.#events.started?.(kind === Kind.Start ? Number(content.readBigUInt64BE()) : undefined)
        return
      case Kind.Open:
        this.#asked(content, NOTHING)
        return
      case Kind.OpenWith: {
        const parts = readOpenWith(content)
        if (parts === undefined || this.#options.takesFirstBytes !== true) throw new RecordViolation('no such request')
        this.#asked(parts.open, parts.first)
        return
      }
      case Kind.Granted:
      case Kind.GrantedWith:
        this.#require('answer')
        if (kind === Kind.GrantedWith && this.#options.takesFirstBytes !== true)
          throw new RecordViolation('no such answer')
        this.#phase = 'data'
        this.#events.answered?.(undefined)
        // They are few, so that reading need not stop if they are not wanted yet.
        if (content.length > 0) this.#events.data?.(content, () => {})
        return
      case Kind.Refused:
        this.#require('answer')
        this.#becomeIdle(events => events.answered?.(content))
        return
      default:
        this.#require('data')
        this.#phase = 'ended'
        this.#events.ended?.()
        this.#restIfOver()
    }
  }

  #asked(open: Buffer, first: Buffer): void {
    this.#require('idle')
    if (this.#options.end === 'opener') throw new RecordViolation('a flow is asked for at the wrong end')
    if (this.#outlet.waitingCount > MAX_UNREAD_ANSWERS) throw new RecordViolation('answers are not read')
    this.#phase = 'deciding'
    this.#events.asked?.(open, first)
  }

  #restIfOver(): void {
    if (this.#options.isPooled && this.#phase === 'ended' && this.#hasEnded && !this.#isClosed) {
      this.#becomeIdle(events => events.onIdle?.())
    }
  }

  // The former subscriber is notified last, for it may ask for the next flow at once.
  #becomeIdle(tell: (former: RecordConnectionEvents) => void = () => {}): void {
    const former = this.#events
    this.#phase = 'idle'
    this.#hasEnded = false
    this.#outlet.room = AMPLE
    if (this.#idleEvents !== undefined) this.#events = this.#idleEvents
    // It may be full, or paused by the flow that ended; later bytes do not belong to that.
    if (this.#isPaused) this.resume()
    tell(former)
    this.#idleEvents?.onIdle?.()
  }

  #require(phase: Phase): void {
    if (this.#phase !== phase) throw new RecordViolation(`a record that does not follow ${this.#phase}`)
  }

  #write(kind: Kind, content: Buffer): void {
    this.#outlet.write(kind, content)
  }

  #setClosed(): void {
    this.#isClosed = true
    this.#grant.take()
    this.#outlet.close()
    this.#reader.close()
    this.#onClosed?.()
  }
}
