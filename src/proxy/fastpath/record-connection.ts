import type { Socket } from 'node:net'
import { AMPLE, type Keeper, type Room } from '../flow/index.ts'
import { closeInOrder, whenLost } from './close-in-order.ts'
import { Kind, NOTHING, offsetContent, RECORD_OVERHEAD_BYTES } from './format.ts'
import { bufferPool } from './pool.ts'
import type { Phase, RecordConnectionEvents, RecordConnectionOptions, RecordEnds } from './record-events.ts'
import { type RecordReader, RecordViolation } from './record-reader.ts'
import type { RecordWriter } from './record-writer.ts'
import { KEPT_SEALED_BYTES, MAX_UNREAD_ANSWERS, WaitingWrites } from './waiting-writes.ts'

/** A TCP connection for the bytes of flows, in sealed records. */
export class RecordConnection {
  readonly #writer: RecordWriter
  readonly #reader: RecordReader
  readonly #options: RecordConnectionOptions
  readonly #writes = new WaitingWrites()
  #socket: Socket | undefined
  #events: RecordConnectionEvents
  /** Receives the events of a pooled connection while no flow is on it. */
  #idleEvents: RecordConnectionEvents | undefined
  #onClosed: (() => void) | undefined
  #phase: Phase = 'hello'
  #hasEnded = false
  #isPaused = false
  #isFull = false
  #isClosed = false
  #sentBytes = 0
  #passedBytes = 0

  constructor(ends: RecordEnds, options: RecordConnectionOptions, events: RecordConnectionEvents) {
    this.#options = options
    this.#writer = ends.writer
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
    return { sentBytes: this.#sentBytes, passedBytes: this.#passedBytes }
  }

  get waitingBytes(): number {
    return this.#writes.bytes + this.#reader.heldBytes
  }

  /** Bounds what waits here, until no flow is on it. */
  limit(room: Room): void {
    this.#writes.room = room
  }

  /** Sets the socket that it uses. The owner of the socket gives `received` the bytes that it reads. */
  bind(socket: Socket): void {
    this.#socket = socket
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
    const out = bufferPool.take()
    let users = 1
    let written = 0
    const done = (): void => {
      users -= 1
      if (users === 0) bufferPool.give(out)
    }
    const tell = (until: number): void => {
      if (until === written || this.#isClosed) return
      this.#require('data')
      const content = out.subarray(written, until)
      written = until
      users += 1
      const isWanted = this.#events.data === undefined ? done() : this.#events.data(content, done)
      if (isWanted === false) this.#isPaused = true
    }
    try {
      const size = this.#reader.read(bytes, out, (kind, content, before) => {
        tell(before)
        if (!this.#isClosed) this.#control(kind, content)
      })
      tell(size)
    } catch (err) {
      this.fail(err instanceof Error ? err : new Error(String(err)))
    }
    done()
    if (this.#isPaused && this.#writes.room.isScarce) this.#reader.shrink()
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

  /** Asks for a flow on an idle pooled connection, for `events`. */
  ask(open: Buffer, events: RecordConnectionEvents): void {
    this.#events = events
    this.#phase = 'answer'
    this.#write(Kind.Open, open)
  }

  /** Grants the flow that was asked for: its bytes may arrive now. */
  grant(): void {
    this.#phase = 'data'
    this.#write(Kind.Granted, NOTHING)
  }

  /** Refuses the flow; the connection is idle again. */
  refuse(refusal: Buffer): void {
    if (this.#isClosed) return
    this.#write(Kind.Refused, refusal)
    this.#becomeIdle()
  }

  /** Returns false when enough waits: `drained` is called later. Gives the bytes to `keeper`. */
  send(bytes: Buffer, keeper?: Keeper): boolean {
    this.#sentBytes += bytes.length
    const isSealed = keeper !== undefined && bytes.length >= KEPT_SEALED_BYTES && this.#isWritable
    const place = isSealed ? keeper.place(bytes.length + RECORD_OVERHEAD_BYTES) : undefined
    const isWritten = this.#write(Kind.Data, bytes, place?.left, place?.memory)
    keeper?.keep(bytes, isWritten && place !== undefined ? this.#writer.reopen() : undefined)
    this.#isFull ||= this.#writes.isFull(this.#socket?.writableLength ?? 0)
    return !this.#isFull
  }

  /** Ends our direction. `sent` is called when the end has left this process, with an error if it cannot. */
  end(sent: (err?: Error) => void): void {
    this.#write(Kind.End, NOTHING, sent)
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
        this.#require('idle')
        if (this.#options.end === 'opener') throw new RecordViolation('a flow is asked for at the wrong end')
        if (this.#writes.count > MAX_UNREAD_ANSWERS) throw new RecordViolation('answers are not read')
        this.#phase = 'deciding'
        this.#events.asked?.(content)
        return
      case Kind.Granted:
        this.#require('answer')
        this.#phase = 'data'
        this.#events.answered?.(undefined)
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
    this.#writes.room = AMPLE
    if (this.#idleEvents !== undefined) this.#events = this.#idleEvents
    // It may be full, or paused by the flow that ended; later bytes do not belong to that.
    if (this.#isPaused) this.resume()
    tell(former)
    this.#idleEvents?.onIdle?.()
  }

  #require(phase: Phase): void {
    if (this.#phase !== phase) throw new RecordViolation(`a record that does not follow ${this.#phase}`)
  }

  get #isWritable(): boolean {
    return !this.#isClosed && this.#socket?.destroyed === false
  }

  /** Seals a record to `place`. Returns whether it is being written. */
  #write(kind: Kind, content: Buffer, sent?: (err?: Error) => void, place?: Buffer): boolean {
    const socket = this.#socket
    if (socket === undefined || !this.#isWritable) {
      if (sent !== undefined) process.nextTick(sent, new Error('the connection is closed'))
      return false
    }
    const size = content.length + RECORD_OVERHEAD_BYTES
    const out = place ?? this.#writes.bufferFor(size, socket.writableLength)
    try {
      this.#writer.write(kind, content, out)
    } catch (err) {
      bufferPool.give(out)
      this.fail(err instanceof Error ? err : new Error(String(err)))
      return false
    }
    this.#writes.add(out)
    socket.write(out.subarray(0, size), err => {
      this.#writes.left(out)
      if (kind === Kind.Data && err == null) {
        this.#passedBytes += content.length
        this.#events.passed?.()
      }
      if (this.#isFull && this.#writes.count === 0) {
        this.#isFull = false
        this.#events.drained?.()
      }
      sent?.(err ?? undefined)
    })
    return true
  }

  #setClosed(): void {
    this.#isClosed = true
    this.#writer.close()
    this.#reader.close()
    this.#onClosed?.()
  }
}
