import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export type Kind = 'idle' | 'interactive' | 'bulk'

const PIECES: Readonly<Record<Kind, number>> = { idle: 64, interactive: 64, bulk: 64 * 1024 }
/** Sent and not back yet. */
const MOST_UNDER_WAY: Readonly<Record<Kind, number>> = { idle: 64, interactive: 64, bulk: 1024 * 1024 }

/** A client of an echo server whose every byte is known by its place: one that is lost, doubled or moved is found. */
export class PatternedFlow {
  readonly kind: Kind
  /** Why it is over, if that was not in order. */
  fault: string | undefined
  readonly #socket: Socket
  readonly #seed: number
  readonly #pauseMs: number
  #next: NodeJS.Timeout | undefined
  #sent = 0
  #received = 0
  #isEnding = false
  #hasEnded = false
  #waiters: Array<() => void> = []
  #lastMs = performance.now()
  #longestMs = 0

  /** `pauseMs`: what has come back is followed by more after this time. At 0 a few flows use up a machine. */
  constructor(kind: Kind, port: number, seed: number, pauseMs = 0) {
    this.kind = kind
    this.#seed = seed
    this.#pauseMs = pauseMs
    this.#socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    this.#socket.on('error', err => this.#fail(String(err)))
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#socket.on('end', () => {
      this.#hasEnded = true
      if (!this.#isEnding || this.#received !== this.#sent) this.#fail(`ended after ${this.#received} of ${this.#sent}`)
      this.#wake()
    })
    this.#socket.on('drain', () => this.#fill())
  }

  get received(): number {
    return this.#received
  }

  /** The longest time without a byte since the last call, in milliseconds. Of use while it exchanges bytes all the time. */
  takeLongestPause(): number {
    this.#noteArrival()
    const longest = this.#longestMs
    this.#longestMs = 0
    return longest
  }

  async begin(): Promise<void> {
    await once(this.#socket, 'connect')
    this.#fill()
    await this.reaches(1)
  }

  /** Resolves when so many bytes have come back, or it has failed. */
  async reaches(bytes: number): Promise<void> {
    await this.#until(() => this.#received >= bytes)
  }

  /** An idle flow exchanges one piece. */
  async exchange(): Promise<void> {
    this.#write()
    await this.reaches(this.#sent)
  }

  /** Ends, and resolves when everything has come back and the other end has ended too, or it has failed. */
  async end(): Promise<void> {
    this.#isEnding = true
    clearTimeout(this.#next)
    this.#socket.end()
    await this.#until(() => this.#hasEnded)
  }

  #noteArrival(): void {
    const nowMs = performance.now()
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs)
    this.#lastMs = nowMs
  }

  #take(chunk: Buffer): void {
    this.#noteArrival()
    for (const [at, byte] of chunk.entries()) {
      if (byte === this.#byteAt(this.#received + at)) continue
      this.#fail(`byte ${this.#received + at} is wrong`)
      return
    }
    this.#received += chunk.length
    if (this.kind !== 'idle') this.#fillLater()
    this.#wake()
  }

  #fillLater(): void {
    if (this.#pauseMs === 0) {
      this.#fill()
      return
    }
    this.#next ??= setTimeout(() => {
      this.#next = undefined
      this.#fill()
    }, this.#pauseMs)
  }

  #fill(): void {
    if (this.#isEnding || this.fault !== undefined) return
    if (this.kind === 'idle' && this.#sent > 0) return
    while (this.#sent - this.#received + PIECES[this.kind] <= MOST_UNDER_WAY[this.kind]) if (!this.#write()) return
  }

  #write(): boolean {
    const piece = Buffer.allocUnsafe(PIECES[this.kind])
    for (let at = 0; at < piece.length; at += 1) piece[at] = this.#byteAt(this.#sent + at)
    this.#sent += piece.length
    return this.#socket.write(piece)
  }

  #byteAt(offset: number): number {
    return (offset * 31 + (offset >> 8) * 7 + this.#seed) & 0xff
  }

  #fail(fault: string): void {
    this.fault ??= `${this.kind} ${this.#seed}: ${fault}`
    clearTimeout(this.#next)
    this.#socket.destroy()
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake()
  }

  async #until(isDone: () => boolean): Promise<void> {
    while (!isDone() && this.fault === undefined) await new Promise<void>(resolve => this.#waiters.push(resolve))
  }
}
