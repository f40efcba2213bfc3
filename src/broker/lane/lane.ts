import type { Socket } from 'node:net'
import { Kind, OFFSET_BYTES, RECORD_OVERHEAD_BYTES } from './format.ts'
import { bufferPool } from './pool.ts'
import { LaneViolation, type RecordReader } from './record-reader.ts'
import type { RecordWriter } from './record-writer.ts'

/** What may wait in memory for the other end, beyond which `send` asks for a pause. */
const MAX_WAITING_BYTES = 256 * 1024
/** For the other end to close as well, once both directions have ended; a slow link may still have a megabyte to carry. */
const FINISH_TIMEOUT_MS = 60_000
/** Writes that may wait: each holds a buffer, however small it is. */
const MAX_WAITING_WRITES = 64
const NOTHING = Buffer.alloc(0)

/** Who uses a lane. Each record is told once, in the order of sending, to who attends when it comes. */
export interface LaneEvents {
  readonly hello?: () => void
  /** From this offset on the other end's direction comes here; undefined if it stays on the stream. */
  readonly started?: (offset: number | undefined) => void
  /** `bytes` are the taker's until it calls `done`. Returns false to be given no more until `resume`. */
  readonly data?: (bytes: Buffer, done: () => void) => boolean
  readonly ended?: () => void
  /** There is room again, after `send` returned false. */
  readonly drained?: () => void
  /** The connection is gone, or something came that must not. Nothing is told after it. */
  readonly closed: (err: Error) => void
}

type Phase = 'hello' | 'start' | 'data' | 'ended'

/** A TCP connection for the bytes of one flow, in sealed records. What it carries is in the order of `Phase`, each way. */
export class Lane {
  readonly #writer: RecordWriter
  readonly #reader: RecordReader
  readonly #closesFirst: boolean
  #socket: Socket | undefined
  #events: LaneEvents
  #phase: Phase = 'hello'
  #waitingWrites = 0
  #isFull = false
  #isOver = false

  constructor(writer: RecordWriter, reader: RecordReader, closesFirst: boolean, events: LaneEvents) {
    this.#closesFirst = closesFirst
    this.#writer = writer
    this.#reader = reader
    this.#events = events
  }

  /** Whether it was closed, by whomever. */
  get isOver(): boolean {
    return this.#isOver
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

  /** Takes what was read. Returns false when no more is wanted for now. */
  received(bytes: Buffer): boolean {
    // After `finish` only the end of the connection is to come.
    if (this.#isOver) return true
    const out = bufferPool.take()
    let isTaken = false
    let isWanted = true
    try {
      let endsAt: number | undefined
      const size = this.#reader.read(bytes, out, (kind, content, before) => {
        if (endsAt !== undefined) throw new LaneViolation('a record after the end')
        if (kind === Kind.End) endsAt = before
        else if (before === 0) this.#begin(kind, content)
        else throw new LaneViolation('a beginning after data')
      })
      if (size > (endsAt ?? size)) throw new LaneViolation('data after the end')
      if (size > 0 || endsAt !== undefined) this.#require('data')
      if (size > 0 && !this.#isOver) {
        isTaken = true
        isWanted = this.#events.data?.(out.subarray(0, size), () => bufferPool.give(out)) ?? true
      }
      if (endsAt !== undefined) {
        this.#phase = 'ended'
        this.#events.ended?.()
      }
    } catch (err) {
      this.fail(err instanceof Error ? err : new Error(String(err)))
    }
    if (!isTaken) bufferPool.give(out)
    return isWanted && !this.#isOver
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

  /** Returns false when enough waits: then `drained` will be called. */
  send(bytes: Buffer): boolean {
    this.#write(Kind.Data, bytes)
    this.#isFull ||= this.waitingBytes >= MAX_WAITING_BYTES || this.#waitingWrites >= MAX_WAITING_WRITES
    return !this.#isFull
  }

  /** The end of our direction. `sent` is called when it has left this process. */
  end(sent: () => void): void {
    this.#write(Kind.End, NOTHING, sent)
  }

  /** Goes on reading, if `data` had asked for a pause. */
  resume(): void {
    if (!this.#isOver) this.#socket?.resume()
  }

  /**
   * Closes it, now that both directions have ended. The end that connected it waits for the other one to close first, which
   * has all by then: a middlebox may drop what is under way when it sees the sender close.
   */
  finish(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#closeKeys()
    const socket = this.#socket
    if (socket === undefined || socket.destroyed) return
    const timer = setTimeout(() => socket.destroy(), FINISH_TIMEOUT_MS).unref()
    socket.once('close', () => clearTimeout(timer))
    if (this.#closesFirst || socket.readableEnded) socket.end()
    else socket.once('end', () => socket.end())
    socket.resume()
  }

  /** Closes it at once, and tells nobody. */
  destroy(): void {
    this.#isOver = true
    this.#closeKeys()
    this.#socket?.destroy()
  }

  /** Closes it at once, and tells why. */
  fail(err: Error): void {
    if (this.#isOver) return
    this.destroy()
    this.#events.closed(err)
  }

  #begin(kind: Kind, content: Buffer): void {
    if (kind === Kind.Hello) {
      this.#require('hello')
      this.#phase = 'start'
      this.#events.hello?.()
      return
    }
    this.#require('start')
    this.#phase = kind === Kind.Start ? 'data' : 'ended'
    this.#events.started?.(kind === Kind.Start ? Number(content.readBigUInt64BE()) : undefined)
  }

  #require(phase: Phase): void {
    if (this.#phase !== phase) throw new LaneViolation(`a record that does not follow ${this.#phase}`)
  }

  #write(kind: Kind, content: Buffer, sent?: () => void): void {
    const socket = this.#socket
    if (this.#isOver || socket === undefined || socket.destroyed) return
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
      if (this.#isFull && this.#waitingWrites === 0) {
        this.#isFull = false
        this.#events.drained?.()
      }
      if (err === undefined || err === null) sent?.()
    })
  }

  #closeKeys(): void {
    this.#writer.close()
    this.#reader.close()
  }
}
