import type { Http2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { MAX_CONTENT_BYTES } from '../fastpath/format.ts'
import type { TakenOver } from '../fastpath/raw-socket.ts'
import type { Lane } from '../fastpath/record-connection.ts'
import type { LaneEvents } from '../fastpath/record-events.ts'
import { type Cut, cutOf, LINK_LOST } from './cut.ts'
import { Delivery } from './delivery.ts'
import type { Flow } from './flow.ts'
import { socketLeg, streamLeg } from './leg.ts'

/** The reason comes on the stream, and the end of the lane may overtake it. */
const REASON_GRACE_MS = 500

/** Where a flow was when it moved. */
export interface Moved {
  /** Bytes of our direction that the stream has taken. */
  readonly sent: number
  /** Bytes of the other direction that came on the stream. */
  readonly received: number
  /** Our direction, the other one, has ended already. */
  readonly outEnded: boolean
  readonly inEnded: boolean
}

/** Carries a flow between a workload's socket and a lane, and what the stream still brings, until both directions ended. */
export class LanePump implements LaneEvents {
  readonly #flow: Flow
  readonly #stream: Http2Stream
  readonly #lane: Lane
  readonly #localIsSource: boolean
  readonly #settle: (cut: Cut | undefined) => void
  #local: Socket | undefined
  #delivery: Delivery | undefined
  /** Where the other direction leaves the stream; undefined while it has not said so. */
  #offset: number | undefined
  #received = 0
  #waiting: { readonly bytes: Buffer; readonly done: () => void }[] = []
  #laneEnded = false
  #outDone = false
  #inDone = false
  #isOver = false
  #localEndedBefore = false
  #grace: NodeJS.Timeout | undefined

  constructor(
    flow: Flow,
    stream: Http2Stream,
    lane: Lane,
    localIsSource: boolean,
    settle: (cut: Cut | undefined) => void
  ) {
    this.#flow = flow
    this.#stream = stream
    this.#lane = lane
    this.#localIsSource = localIsSource
    this.#settle = settle
  }

  /** Goes on from where the stream was. */
  begin({ socket, rest }: TakenOver, { sent, received, outEnded, inEnded }: Moved): void {
    this.#local = socket
    this.#delivery = new Delivery(socket, () => this.#onRoom())
    this.#received = received
    this.#outDone = outEnded
    this.#inDone = inEnded
    this.#localEndedBefore = inEnded
    this.#watch(socket)
    const flow = this.#flow
    flow.isOnLane = true
    flow.waitingBytes = () => socket.writableLength + this.#lane.waitingBytes + this.#stream.writableLength
    flow.signal.addEventListener('abort', this.#onCut, { once: true })
    if (flow.signal.aborted) {
      this.#onCut()
      return
    }
    if (outEnded) this.#lane.stay()
    else this.#lane.start(sent)
    if (outEnded || this.#sendRest(rest)) socket.resume()
    if (!inEnded) this.#stream.resume()
    this.#flush()
  }

  /** Bytes that the workload sent. Returns false to be given no more for now. */
  outgoing(bytes: Buffer): boolean {
    if (this.#isOver) return false
    if (this.#localIsSource) this.#flow.bytesOut += bytes.length
    else this.#flow.bytesIn += bytes.length
    return this.#lane.send(bytes)
  }

  #sendRest(rest: Buffer): boolean {
    let hasRoom = true
    for (let at = 0; at < rest.length; at += MAX_CONTENT_BYTES) {
      hasRoom = this.outgoing(rest.subarray(at, at + MAX_CONTENT_BYTES))
    }
    return hasRoom
  }

  started(offset: number | undefined): void {
    if (offset === undefined) return
    this.#offset = offset
    if (this.#local !== undefined) this.#flush()
  }

  data(bytes: Buffer, done: () => void): boolean {
    if (this.#isOnStream || this.#waiting.length > 0) {
      this.#waiting.push({ bytes, done })
      return false
    }
    return this.#deliver(bytes, done)
  }

  ended(): void {
    this.#laneEnded = true
    if (!this.#isOnStream && this.#waiting.length === 0) this.#endLocal()
  }

  drained(): void {
    if (this.#local !== undefined && !this.#isOver) this.#local.resume()
  }

  closed(): void {
    if (this.#local === undefined || this.#isOver) return
    // The other end has all that we sent, and we have all of its: only our workload has not taken it yet.
    if (this.#laneEnded && this.#outDone) return
    this.#grace ??= setTimeout(() => this.#fail(LINK_LOST), REASON_GRACE_MS)
  }

  // Bytes of the stream come first, however much later than those of the lane they arrive.
  get #isOnStream(): boolean {
    return this.#local === undefined || this.#offset === undefined || this.#received < this.#offset
  }

  #flush(): void {
    if (this.#offset !== undefined && this.#received > this.#offset) {
      this.#fail({ kind: 'link', text: 'the other agent sent bytes of the flow twice' })
      return
    }
    if (this.#isOnStream || this.#isOver) return
    const waiting = this.#waiting
    this.#waiting = []
    let hasRoom = true
    for (const { bytes, done } of waiting) hasRoom = this.#deliver(bytes, done)
    if (this.#laneEnded) this.#endLocal()
    else if (hasRoom) this.#lane.resume()
  }

  #deliver(bytes: Buffer, done: () => void): boolean {
    const local = this.#local
    if (local === undefined || local.destroyed || this.#inDone) {
      done()
      return true
    }
    return this.#write(bytes, done)
  }

  /** Returns false when enough waits: what comes is resumed once nothing does. */
  #write(bytes: Buffer, done: () => void): boolean {
    this.#count(bytes.length)
    return this.#delivery?.write(bytes, done) ?? true
  }

  #onRoom(): void {
    if (this.#isOver) return
    this.#lane.resume()
    if (this.#isOnStream) this.#stream.resume()
  }

  #count(bytes: number): void {
    if (this.#localIsSource) this.#flow.bytesIn += bytes
    else this.#flow.bytesOut += bytes
  }

  #endLocal(): void {
    const local = this.#local
    if (this.#inDone || local === undefined) return
    local.end(() => {
      if (!local.writableFinished) return
      this.#inDone = true
      this.#half()
    })
  }

  #watch(local: Socket): void {
    const stream = this.#stream
    const { failure } = socketLeg(local)
    local.on('error', err => this.#fail(failure(err)))
    local.once('close', () => {
      if (!local.readableEnded || !(local.writableFinished || this.#localEndedBefore)) this.#fail(failure(undefined))
    })
    local.once('end', () => {
      if (this.#outDone) return
      this.#lane.end(err => {
        // The lane is lost then, and says so itself.
        if (err !== undefined) return
        this.#outDone = true
        this.#half()
      })
    })
    stream.on('data', (chunk: Buffer) => this.#fromStream(chunk))
    stream.once('end', () => {
      // Without a start on the lane it is the end of its direction; a stream of a lost session ends so too.
      if (this.#offset === undefined && streamLeg(stream).isCleanEnd()) this.#endLocal()
    })
    stream.once('aborted', () => this.#fail(cutOf(stream.rstCode)))
    stream.once('close', () => {
      if (stream.rstCode !== 0 || (this.#offset === undefined && !stream.readableEnded))
        this.#fail(cutOf(stream.rstCode))
    })
    if (stream.destroyed && stream.rstCode !== 0) this.#fail(cutOf(stream.rstCode))
  }

  #fromStream(chunk: Buffer): void {
    const local = this.#local
    if (local === undefined || local.destroyed || this.#isOver) return
    this.#received += chunk.length
    if (!this.#write(chunk, () => {}) && this.#isOnStream) this.#stream.pause()
    if (this.#offset !== undefined) this.#flush()
  }

  #half(): void {
    if (!this.#outDone || !this.#inDone || this.#isOver) return
    this.#release()
    this.#lane.finish()
    if (this.#localEndedBefore) this.#local?.destroy()
    if (!this.#stream.writableEnded && !this.#stream.destroyed) this.#stream.end()
    this.#stream.resume()
    this.#settle(undefined)
  }

  readonly #onCut = (): void => {
    this.#fail({ kind: 'shutdown', text: 'cut' })
  }

  #fail(cut: Cut): void {
    if (this.#isOver) return
    this.#release()
    const reason = this.#flow.cutBy ?? cut
    streamLeg(this.#stream).abort(reason.kind)
    this.#lane.destroy()
    if (this.#local !== undefined) socketLeg(this.#local).abort(reason.kind)
    for (const { done } of this.#waiting) done()
    this.#settle(reason)
  }

  #release(): void {
    this.#isOver = true
    clearTimeout(this.#grace)
    this.#flow.signal.removeEventListener('abort', this.#onCut)
  }
}
