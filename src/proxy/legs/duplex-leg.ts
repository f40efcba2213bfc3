import type { Duplex } from 'node:stream'
import type { ByteLeg, Cut, CutKind, LegEvents, Room } from '../flow/index.ts'
import { Outflow } from './outflow.ts'
import { countYoungGarbage } from './young-garbage.ts'

/** The differences between kinds of streams. */
export interface Manner {
  /** Called when the stream emits `end`: returns whether the other side ended it, and it was not merely cut short. */
  isCleanEnd(): boolean
  /** Called when the stream has closed without `finish`: whether both directions had ended nevertheless. @default no */
  hasEndedBoth?(): boolean
  /** Whether it emits `aborted`. */
  readonly isAborting: boolean
  /** Reason why it failed, once it did. */
  failure(err: Error | undefined): Cut
  /** Called when everything that was sent has been passed on, and the end as well. */
  finished?(): void
  /** Keeps little of what nobody reads. */
  keepLittle(): void
  /** Ends both directions at once; buffered data is dropped. */
  reset(kind: CutKind): void
}

/** Another stream for the same connection, and the bytes that the former had read. */
export interface Exchanged {
  readonly stream: Duplex
  readonly manner: Manner
  readonly remaining: Buffer
}

/**
 * Makes the new stream. Its reads go to `onBytes`, which returns false for no more; `releaseIdle` is called before the
 * former closes.
 */
export type Exchange = (onBytes: (bytes: Buffer) => boolean, releaseIdle: () => void) => Exchanged

/** A leg that is a Node stream: a workload's socket, or a stream of a session. */
export class DuplexLeg implements ByteLeg {
  readonly copies = false
  readonly #out: Outflow
  #stream: Duplex
  #manner: Manner
  #events: LegEvents | undefined
  #isPaused = true
  #hasEnded = false
  #hasFinished = false
  #isClosed = false
  #isAborted = false

  constructor(stream: Duplex, manner: Manner) {
    this.#stream = stream
    this.#manner = manner
    this.#out = new Outflow(stream, () => {
      if (!this.#isClosed) this.#events?.drained()
    })
  }

  get deliveredBytes(): number {
    return this.#out.deliveredBytes
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get waitingBytes(): number {
    return this.#out.waitingBytes + this.#stream.readableLength
  }

  limit(room: Room): void {
    this.#out.room = room
    if (room.isScarce) this.#manner.keepLittle()
  }

  subscribe(events: LegEvents): void {
    const isFirst = this.#events === undefined
    this.#events = events
    if (!isFirst) return
    this.#stream.on('data', this.#onData)
    this.#bind()
    if (this.#stream.destroyed) this.#fail()
  }

  send(bytes: Buffer, release?: () => void): boolean {
    if (!this.#hasEnded) return this.#out.write(bytes, release)
    release?.()
    return false
  }

  end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    if (!this.#stream.destroyed) this.#stream.end()
  }

  pause(): void {
    this.#isPaused = true
    this.#stream.pause()
  }

  resume(): void {
    this.#isPaused = false
    if (!this.#isClosed) this.#stream.resume()
  }

  delivered(offset: number, then: () => void): void {
    this.#out.delivered(offset, then)
  }

  abort(kind: CutKind): void {
    this.#isClosed = true
    if (this.#isAborted) return
    this.#isAborted = true
    this.#manner.reset(kind)
  }

  close(): void {
    this.#isClosed = true
    const stream = this.#stream
    if (stream.destroyed || this.#isAborted) return
    // A new stream does not know that the former had ended before the exchange.
    if (this.#hasEnded && !stream.writableEnded) {
      stream.destroy()
      return
    }
    // The flow has moved away from this stream: the other end waits for the end.
    if (!stream.writableEnded) stream.end()
    stream.resume()
  }

  /**
   * Continues with another stream of the same connection, which `take` makes of this one when that is paused and
   * nothing waits. If it throws, nothing changes.
   */
  exchange(take: Exchange): void {
    if (this.#isClosed || this.#stream.readableEnded) return
    this.#out.hold(() => {
      const former = this.#stream
      if (!this.#isClosed && !former.destroyed && !former.readableEnded) this.#exchange(take)
      this.#out.releaseIdle()
    })
  }

  /**
   * Ends here, and not for the other side: `take` gets the stream once nothing waits, and must keep its connection open. What was read
   * already is delivered before. Resolves with what it returns; undefined if it has closed, or the signal aborts first.
   */
  async leave<T>(take: (stream: Duplex) => T, signal: AbortSignal): Promise<T | undefined> {
    if (this.#isClosed || this.#stream.destroyed) return undefined
    this.pause()
    const { promise, resolve } = Promise.withResolvers<T | undefined>()
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
    this.#out.hold(() => {
      const stream = this.#stream
      if (this.#isClosed || stream.destroyed || signal.aborted) {
        resolve(undefined)
        return
      }
      for (let chunk: unknown = stream.read(); Buffer.isBuffer(chunk); chunk = stream.read()) this.#events?.data(chunk)
      const taken = take(stream)
      this.#isClosed = true
      this.#isAborted = true
      stream.destroy()
      resolve(taken)
    })
    return await promise
  }

  #exchange(take: Exchange): void {
    this.#stream.pause()
    const taken = this.#attempt(take)
    if (taken !== undefined) {
      this.#stream = taken.stream
      this.#manner = taken.manner
      this.#out.exchange(taken.stream)
      this.#bind()
      if (taken.remaining.length > 0) this.#take(taken.remaining)
    }
    if (!this.#isPaused) this.#stream.resume()
  }

  #attempt(take: Exchange): Exchanged | undefined {
    try {
      return take(this.#take, () => this.#unbind())
    } catch {
      // No descriptor is left for it: it is read as before.
      return undefined
    }
  }

  #bind(): void {
    this.#stream
      // The handler stays for the life of the stream: an error after the end of the flow must not be unhandled.
      .on('error', this.#fail)
      // Each event comes once: `once` would allocate one more function for each event of each flow.
      .on('close', this.#onClose)
      .on('end', this.#onEnd)
      .on('finish', this.#onFinish)
    // A stream that was reset while nobody reads it emits nothing else.
    if (this.#manner.isAborting) this.#stream.on('aborted', this.#fail)
  }

  #unbind(): void {
    this.#stream
      .off('data', this.#onData)
      .off('error', this.#fail)
      .off('close', this.#onClose)
      .off('end', this.#onEnd)
      .off('finish', this.#onFinish)
  }

  readonly #take = (bytes: Buffer): boolean => {
    if (this.#isClosed || this.#events === undefined) return false
    if (this.#events.data(bytes)) return true
    this.#isPaused = true
    return false
  }

  readonly #onData = (chunk: Buffer): void => {
    countYoungGarbage(chunk.length)
    if (!this.#take(chunk)) this.#stream.pause()
  }

  readonly #onEnd = (): void => {
    if (this.#isClosed) return
    if (this.#manner.isCleanEnd()) this.#events?.ended()
    else this.#fail()
  }

  readonly #onFinish = (): void => {
    this.#hasFinished = true
    this.#manner.finished?.()
    if (!this.#isClosed) this.#events?.finished()
  }

  readonly #onClose = (): void => {
    if (this.#stream.readableEnded && !this.#hasFinished && this.#manner.hasEndedBoth?.() === true) this.#onFinish()
    if (!this.#stream.readableEnded || !this.#hasFinished) this.#fail()
  }

  readonly #fail = (err?: Error): void => {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#events?.failed(this.#manner.failure(err))
  }
}
