import type { Socket } from 'node:net'
import { MAX_WAITING_BYTES, MAX_WAITING_WRITES } from '../flow/index.ts'
import { closeInOrder } from './close-in-order.ts'
import { Kind, OFFSET_BYTES, RECORD_OVERHEAD_BYTES } from './format.ts'
import { bufferPool } from './pool.ts'
import type { LaneEvents, LaneOptions } from './record-events.ts'
import { LaneViolation, type RecordReader } from './record-reader.ts'
import type { RecordWriter } from './record-writer.ts'

/** Of who asks for the next flow, which an opener does when it has read all: then nothing waits but what Node has not reported yet. */
const MAX_UNREAD_ANSWERS = 8
const NOTHING = Buffer.alloc(0)

/** What the other end may send next: of a flow from a stream from `start` to `ended`, of a kept lane from `rest` to `rest`. */
type Phase = 'hello' | 'start' | 'rest' | 'answer' | 'judging' | 'data' | 'ended'

/** A TCP connection for the bytes of flows, in sealed records. */
export class Lane {
  readonly #writer: RecordWriter
  readonly #reader: RecordReader
  readonly #options: LaneOptions
  #socket: Socket | undefined
  #events: LaneEvents
  /** Who attends while a kept lane rests. */
  #resting: LaneEvents | undefined
  #whenOver: (() => void) | undefined
  #phase: Phase = 'hello'
  #hasEnded = false
  #isPaused = false
  #waitingWrites = 0
  #isFull = false
  #isOver = false
  #sentBytes = 0
  #passedBytes = 0

  constructor(writer: RecordWriter, reader: RecordReader, options: LaneOptions, events: LaneEvents) {
    this.#options = options
    this.#writer = writer
    this.#reader = reader
    this.#events = events
  }

  /** Whether it was closed, by whomever. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Whether a kept lane waits for the next flow. */
  get isAtRest(): boolean {
    return this.#phase === 'rest' && !this.#isOver
  }

  /** What `send` was given, of all flows that it has carried; and how much of it has left this process. */
  get counted(): { readonly sentBytes: number; readonly passedBytes: number } {
    return { sentBytes: this.#sentBytes, passedBytes: this.#passedBytes }
  }

  get waitingBytes(): number {
    return this.#socket?.writableLength ?? 0
  }

  /** The connection it goes over. Whoever made it gives `received` what it reads. */
  bind(socket: Socket): void {
    this.#socket = socket
    let failure: Error | undefined
    socket.on('error', err => {
      failure = err
    })
    socket.once('end', () => this.fail(new Error('the connection beside the session ended')))
    socket.once('close', () => this.fail(failure ?? new Error('the connection beside the session was lost')))
  }

  /** Tells `events` what comes from now on. */
  attend(events: LaneEvents): void {
    this.#events = events
  }

  /** Whom to tell of what comes while no flow is on it, now and later, and that it is over, for whatever reason. */
  rest(events: LaneEvents, whenOver: () => void): void {
    this.#resting = events
    this.#events = events
    this.#whenOver = whenOver
  }

  /** Takes what was read. Returns false when no more is wanted for now. */
  received(bytes: Buffer): boolean {
    // After `finish` only the end of the connection is to come.
    if (this.#isOver) return true
    const out = bufferPool.take()
    let users = 1
    let told = 0
    const done = (): void => {
      users -= 1
      if (users === 0) bufferPool.give(out)
    }
    const tell = (until: number): void => {
      if (until === told || this.#isOver) return
      this.#require('data')
      const content = out.subarray(told, until)
      told = until
      users += 1
      const isWanted = this.#events.data === undefined ? done() : this.#events.data(content, done)
      if (isWanted === false) this.#isPaused = true
    }
    try {
      const size = this.#reader.read(bytes, out, (kind, content, before) => {
        tell(before)
        if (!this.#isOver) this.#control(kind, content)
      })
      tell(size)
    } catch (err) {
      this.fail(err instanceof Error ? err : new Error(String(err)))
    }
    done()
    return !this.#isPaused && !this.#isOver
  }

  hello(): void {
    this.#write(Kind.Hello, NOTHING)
  }

  /** From now on our direction goes here: what follows is what the stream would have carried from `offset` on. */
  start(offset: number): void {
    const content = Buffer.alloc(OFFSET_BYTES)
    content.writeBigUInt64BE(BigInt(offset))
    this.#write(Kind.Start, content)
  }

  /** Our direction has ended on the stream. */
  stay(): void {
    this.#write(Kind.Stay, NOTHING)
  }

  /** Asks for a flow on a kept lane that rests, for `events`. */
  ask(open: Buffer, events: LaneEvents): void {
    this.#events = events
    this.#phase = 'answer'
    this.#write(Kind.Open, open)
  }

  /** Answers what was asked: its bytes may come now. */
  grant(): void {
    this.#phase = 'data'
    this.#write(Kind.Granted, NOTHING)
  }

  /** Answers that there is no flow; the lane rests again. */
  refuse(refusal: Buffer): void {
    if (this.#isOver) return
    this.#write(Kind.Refused, refusal)
    this.#goToRest()
  }

  /** Returns false when enough waits: then `drained` will be called. */
  send(bytes: Buffer): boolean {
    this.#sentBytes += bytes.length
    this.#write(Kind.Data, bytes)
    this.#isFull ||= this.waitingBytes >= MAX_WAITING_BYTES || this.#waitingWrites >= MAX_WAITING_WRITES
    return !this.#isFull
  }

  /** The end of our direction. `sent` is called when it has left this process, with an error if it cannot. */
  end(sent: (err?: Error) => void): void {
    this.#write(Kind.End, NOTHING, sent)
    this.#hasEnded = true
    this.#restIfOver()
  }

  /** Reads no more until `resume`. */
  pause(): void {
    this.#isPaused = true
    if (!this.#isOver) this.#socket?.pause()
  }

  /** Goes on reading, after `pause` or if `data` had asked for it. */
  resume(): void {
    this.#isPaused = false
    if (!this.#isOver) this.#socket?.resume()
  }

  /** Closes it, now that both directions have ended. */
  finish(): void {
    if (this.#isOver) return
    this.#setOver()
    if (this.#socket !== undefined) closeInOrder(this.#socket, this.#options.end === 'other')
  }

  /** Closes it at once, and tells nobody who attends. */
  destroy(): void {
    if (!this.#isOver) this.#setOver()
    this.#socket?.destroy()
  }

  /** Closes it at once, and tells why. */
  fail(err: Error): void {
    if (this.#isOver) return
    this.destroy()
    this.#events.closed(err)
  }

  #control(kind: Kind, content: Buffer): void {
    switch (kind) {
      case Kind.Hello:
        this.#require('hello')
        this.#phase = this.#options.isKept ? 'rest' : 'start'
        this.#events.hello?.()
        return
      case Kind.Start:
      case Kind.Stay:
        this.#require('start')
        this.#phase = kind === Kind.Start ? 'data' : 'ended'
        this.#events.started?.(kind === Kind.Start ? Number(content.readBigUInt64BE()) : undefined)
        return
      case Kind.Open:
        this.#require('rest')
        if (this.#options.end === 'opener') throw new LaneViolation('a flow is asked for at the wrong end')
        // Else each question would leave an answer in memory.
        if (this.#waitingWrites > MAX_UNREAD_ANSWERS) throw new LaneViolation('answers are not read')
        this.#phase = 'judging'
        this.#events.asked?.(content)
        return
      case Kind.Granted:
        this.#require('answer')
        this.#phase = 'data'
        this.#events.answered?.(undefined)
        return
      case Kind.Refused:
        this.#require('answer')
        this.#goToRest(events => events.answered?.(content))
        return
      default:
        this.#require('data')
        this.#phase = 'ended'
        this.#events.ended?.()
        this.#restIfOver()
    }
  }

  #restIfOver(): void {
    if (this.#options.isKept && this.#phase === 'ended' && this.#hasEnded && !this.#isOver) {
      this.#goToRest(events => events.rested?.())
    }
  }

  // Who attended is told last, for it may ask for the next flow at once.
  #goToRest(tell: (former: LaneEvents) => void = () => {}): void {
    const former = this.#events
    this.#phase = 'rest'
    this.#hasEnded = false
    if (this.#resting !== undefined) this.#events = this.#resting
    // It may be full, or held back by the flow that is over; what comes now is not of that.
    if (this.#isPaused) this.resume()
    tell(former)
    this.#resting?.rested?.()
  }

  #require(phase: Phase): void {
    if (this.#phase !== phase) throw new LaneViolation(`a record that does not follow ${this.#phase}`)
  }

  #write(kind: Kind, content: Buffer, sent?: (err?: Error) => void): void {
    const socket = this.#socket
    if (this.#isOver || socket === undefined || socket.destroyed) {
      if (sent !== undefined) process.nextTick(sent, new Error('the lane is over'))
      return
    }
    const out = bufferPool.take()
    try {
      this.#writer.write(kind, content, out)
    } catch (err) {
      bufferPool.give(out)
      this.fail(err instanceof Error ? err : new Error(String(err)))
      return
    }
    this.#waitingWrites += 1
    socket.write(out.subarray(0, content.length + RECORD_OVERHEAD_BYTES), err => {
      bufferPool.give(out)
      this.#waitingWrites -= 1
      if (kind === Kind.Data && err == null) {
        this.#passedBytes += content.length
        this.#events.passed?.()
      }
      if (this.#isFull && this.#waitingWrites === 0) {
        this.#isFull = false
        this.#events.drained?.()
      }
      sent?.(err ?? undefined)
    })
  }

  #setOver(): void {
    this.#isOver = true
    this.#writer.close()
    this.#reader.close()
    this.#whenOver?.()
  }
}
