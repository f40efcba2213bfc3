import type { Socket } from 'node:net'
import { MAX_CONTENT_BYTES } from '../fastpath/format.ts'
import type { KeptLane } from '../fastpath/pooled-connection.ts'
import { canTakeOver, takeOver } from '../fastpath/raw-socket.ts'
import type { LaneEvents } from '../fastpath/record-events.ts'
import type { LaneWorth } from '../fastpath/upgrade-path.ts'
import { type Cut, LINK_LOST } from './cut.ts'
import { Delivery } from './delivery.ts'
import type { Flow } from './flow.ts'
import { afterWriting, isFlushed } from './flushed.ts'
import { socketLeg } from './leg.ts'
import { countYoungGarbage } from './young-garbage.ts'

/** The reason comes on the session, and the end of the lane may overtake it. */
const REASON_GRACE_MS = 500

/** A kept lane on which a flow was granted. */
export interface GrantedLane {
  readonly kind: 'lane'
  readonly lane: KeptLane
  /** From when on the workload's socket is read into a buffer that is used again. */
  readonly worth: LaneWorth
}

/** Carries a flow between a workload's socket and a kept lane, until both directions ended. Guarantees of `splice`. */
export function carryOnLane(flow: Flow, local: Socket, granted: GrantedLane, localIsSource: boolean) {
  const { promise, resolve } = Promise.withResolvers<Cut | undefined>()
  new KeptPump(flow, granted, localIsSource, resolve).begin(local)
  return promise
}

class KeptPump implements LaneEvents {
  readonly #flow: Flow
  readonly #worth: LaneWorth
  readonly #localIsSource: boolean
  readonly #settle: (cut: Cut | undefined) => void
  /** Undefined once both directions have ended on it, and it may carry another flow. */
  #kept: KeptLane | undefined
  #local: Socket | undefined
  #delivery: Delivery | undefined
  #unbind: () => void = () => {}
  #chunks = 0
  #isMoving = false
  #outDone = false
  #inDone = false
  #isOver = false
  #grace: NodeJS.Timeout | undefined

  constructor(
    flow: Flow,
    { lane, worth }: GrantedLane,
    localIsSource: boolean,
    settle: (cut: Cut | undefined) => void
  ) {
    this.#flow = flow
    this.#kept = lane
    this.#worth = worth
    this.#localIsSource = localIsSource
    this.#settle = settle
  }

  begin(local: Socket): void {
    const flow = this.#flow
    flow.isOnLane = true
    flow.waitingBytes = () => (this.#local?.writableLength ?? 0) + (this.#kept?.lane.waitingBytes ?? 0)
    flow.signal.addEventListener('abort', this.#onCut, { once: true })
    const onData = (chunk: Buffer): void => {
      countYoungGarbage(chunk.length)
      if (!this.outgoing(chunk)) local.pause()
    }
    local.on('data', onData)
    this.#bind(local)
    const unbind = this.#unbind
    this.#unbind = () => {
      local.off('data', onData)
      unbind()
    }
    if (flow.signal.aborted) this.#onCut()
    else if (local.destroyed) this.#fail(socketLeg(local).failure(undefined))
    else {
      this.#kept?.attend(this, cut => this.#fail(cut))
      if (!this.#isOver) local.resume()
    }
  }

  /** Bytes that the workload sent. Returns false to be given no more for now. */
  outgoing(bytes: Buffer): boolean {
    if (this.#isOver || this.#kept === undefined) return false
    const flow = this.#flow
    if (this.#localIsSource) flow.bytesOut += bytes.length
    else flow.bytesIn += bytes.length
    this.#chunks += 1
    if (!this.#isMoving && this.#isWorth()) {
      this.#isMoving = true
      setImmediate(() => this.#move())
    }
    return this.#kept.lane.send(bytes)
  }

  data(bytes: Buffer, done: () => void): boolean {
    const local = this.#local
    if (this.#delivery === undefined || local === undefined || local.destroyed || this.#isOver) {
      done()
      return true
    }
    if (this.#localIsSource) this.#flow.bytesIn += bytes.length
    else this.#flow.bytesOut += bytes.length
    return this.#delivery.write(bytes, done)
  }

  ended(): void {
    const local = this.#local
    local?.end(() => {
      if (!local.writableFinished) return
      this.#inDone = true
      this.#half()
    })
  }

  rested(): void {
    this.#kept = undefined
  }

  drained(): void {
    if (!this.#isOver) this.#local?.resume()
  }

  closed(): void {
    if (!this.#isOver) this.#grace ??= setTimeout(() => this.#fail(LINK_LOST), REASON_GRACE_MS)
  }

  #isWorth(): boolean {
    const { bytesIn, bytesOut } = this.#flow
    return this.#chunks >= this.#worth.chunks || bytesIn + bytesOut >= this.#worth.bytes
  }

  /** Goes on reading the workload's socket into a buffer that is used again. */
  #move(): void {
    const local = this.#local
    const lane = this.#kept?.lane
    if (this.#isOver || local === undefined || lane === undefined || !canTakeOver()) return
    local.pause()
    lane.pause()
    const attempt = (): void => {
      if (this.#isOver) return
      // What waits for the workload must leave before its socket can be taken over; nothing may come in between.
      if (!isFlushed(local)) {
        afterWriting(local, attempt)
        return
      }
      if (local.readableEnded || local.writableEnded) local.resume()
      else this.#takeOver(local)
      if (this.#kept?.lane === lane) lane.resume()
    }
    attempt()
  }

  #takeOver(local: Socket): void {
    // There may have been room on the lane meanwhile.
    local.pause()
    try {
      const { socket, rest } = takeOver(local, bytes => this.outgoing(bytes), this.#unbind)
      this.#bind(socket)
      let hasRoom = true
      for (let at = 0; at < rest.length; at += MAX_CONTENT_BYTES) {
        hasRoom = this.outgoing(rest.subarray(at, at + MAX_CONTENT_BYTES))
      }
      if (hasRoom) socket.resume()
    } catch {
      // No descriptor for it: it is read as before.
      local.resume()
    }
  }

  #bind(local: Socket): void {
    const { failure } = socketLeg(local)
    const onError = (err: Error): void => this.#fail(failure(err))
    const onClose = (): void => {
      if (!local.readableEnded || !local.writableFinished) this.#fail(failure(undefined))
    }
    const onEnd = (): void => {
      this.#kept?.lane.end(err => {
        if (err !== undefined) this.#fail(LINK_LOST)
        this.#outDone = true
        this.#half()
      })
    }
    local.on('error', onError).once('close', onClose).once('end', onEnd)
    this.#local = local
    this.#delivery = new Delivery(local, () => {
      if (!this.#isOver) this.#kept?.lane.resume()
    })
    this.#unbind = () => local.off('error', onError).off('close', onClose).off('end', onEnd)
  }

  #half(): void {
    if (!this.#outDone || !this.#inDone || this.#isOver) return
    this.#release()
    this.#settle(undefined)
  }

  readonly #onCut = (): void => {
    this.#fail({ kind: 'shutdown', text: 'cut' })
  }

  #fail(cut: Cut): void {
    if (this.#isOver) return
    const reason = this.#flow.cutBy ?? cut
    this.#release()
    this.#kept?.abort(reason.kind)
    if (this.#local !== undefined) socketLeg(this.#local).abort(reason.kind)
    this.#settle(reason)
  }

  #release(): void {
    this.#isOver = true
    this.#kept?.forget()
    clearTimeout(this.#grace)
    this.#flow.signal.removeEventListener('abort', this.#onCut)
  }
}
