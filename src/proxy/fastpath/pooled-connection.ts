import { WarrenError } from '../../core/index.ts'
import { create, decode, proxyPb, toBinary } from '../../wire/index.ts'
import { type Cut, type CutKind, cutOf, LINK_LOST } from '../flow/index.ts'
import { fromWireError, toWireError } from '../refusal.ts'
import { REASON_GRACE_MS } from '../timing.ts'
import type { FastPathCuts } from './fastpath-cuts.ts'
import { MAX_MESSAGE_BYTES, NOTHING } from './format.ts'
import { OpenEncoder, type PooledOpen } from './open-message.ts'
import type { RecordConnection } from './record-connection.ts'
import type { RecordConnectionEvents } from './record-events.ts'

/** The fast-path connection was lost before the flow was granted. */
export class PooledConnectionLost extends Error {
  /** Why the other end cut it, if it said so. */
  readonly cut: Cut | undefined

  constructor(cut?: Cut) {
    super()
    this.cut = cut
  }
}

/** A fast-path connection that carries one flow after another, at either end. */
export class PooledConnection {
  readonly connection: RecordConnection
  readonly id: number
  readonly #cuts: FastPathCuts
  readonly #opens = new OpenEncoder()
  #number = 0
  #onCut: ((cut: Cut) => void) | undefined
  #onFree: (() => void) | undefined
  #onForgotten: (() => void) | undefined
  /** The other end cut the flow before there was a subscriber. */
  #cut: Cut | undefined
  /** Bytes that arrived after the grant and before there was a subscriber. */
  #early: { readonly bytes: Buffer; readonly done: () => void }[] = []
  #hasEndedEarly = false
  #firstBytes = 0

  constructor(connection: RecordConnection, id: number, cuts: FastPathCuts) {
    this.connection = connection
    this.id = id
    this.#cuts = cuts
  }

  /**
   * Asks for a flow on an idle connection. The promise resolves once the flow is granted; its bytes wait for a
   * subscriber. It rejects with the refusal, after which the connection is idle, or with PooledConnectionLost. `onFree`
   * is called once the connection is free of the flow. `first`: its first bytes, if the connection takes some; once it is lost,
   * nobody knows whether the other workload has seen them.
   */
  ask(open: PooledOpen, onFree: () => void, first: Buffer = NOTHING): PromiseWithResolvers<void> {
    this.begin(onFree)
    this.#firstBytes = first.length
    const answer = Promise.withResolvers<void>()
    const number = this.#number
    let isAnswered = false
    let grace: NodeJS.Timeout | undefined
    // After the answer there will be a subscriber, which waits for the reason.
    const lost = (): void => {
      clearTimeout(grace)
      if (isAnswered) return
      answer.reject(new PooledConnectionLost(this.#cut))
      this.detach(number)
    }
    this.#onCut = cut => {
      this.#cut = cut
      lost()
      // Nobody waits for it any more, and its other end may keep it open and send.
      if (!isAnswered) this.connection.destroy()
    }
    const events: RecordConnectionEvents = {
      answered: refusal => {
        isAnswered = true
        if (refusal === undefined) {
          answer.resolve()
          return
        }
        this.detach()
        answer.reject(refusalIn(refusal))
      },
      data: (bytes, done) => {
        this.#early.push({ bytes, done })
        return false
      },
      ended: () => {
        this.#hasEndedEarly = true
      },
      // A flow with first bytes is asked for once, so its reason is worth waiting for: it comes on another connection.
      closed: () => {
        if (first.length === 0) lost()
        else grace = setTimeout(lost, REASON_GRACE_MS)
      }
    }
    this.connection.ask(this.#opens.encode(open), events, first)
    return answer
  }

  /**
   * Begins another flow on it; `onFree` is called once the connection is free of it again, unless it was granted here. The
   * subscriber gets `first`, its first bytes that have arrived.
   */
  begin(onFree: () => void, first: Buffer = NOTHING): void {
    this.#number += 1
    this.#firstBytes = first.length
    if (first.length > 0) this.#early.push({ bytes: first, done: () => {} })
    this.#onCut = undefined
    this.#cut = undefined
    this.#hasEndedEarly = false
    this.#onFree = onFree
  }

  /** Grants the flow of `begin`. From now on nobody waits for the end of the request: `onFree` is not called. */
  grant(): void {
    this.#onFree = undefined
    this.connection.grant(this.#firstBytes > 0)
  }

  refuse(error: WarrenError): void {
    this.connection.refuse(
      bytesOf(toBinary(proxyPb.FlowErrorSchema, create(proxyPb.FlowErrorSchema, toWireError(error))))
    )
  }

  /** Bytes of the flow that came, or went, with the request for it. */
  get firstBytes(): number {
    return this.#firstBytes
  }

  /** Number of the flow that is on it, or was last, from 1 on. */
  get number(): number {
    return this.#number
  }

  /** Reports the events of its flow to `events`, and a cut by the other end to `onCut`, until `detach`. */
  subscribe(events: RecordConnectionEvents, onCut: (cut: Cut) => void): void {
    this.#onCut = onCut
    this.connection.subscribe(events)
    if (this.#cut !== undefined || this.connection.isClosed) {
      if (this.#cut !== undefined) onCut(this.#cut)
      // The reason may still follow.
      else events.closed(new PooledConnectionLost())
      return
    }
    if (this.#early.length > 0) {
      let isWanted = true
      for (const { bytes, done } of this.#early.splice(0)) isWanted = events.data?.(bytes, done) ?? true
      if (isWanted) this.connection.resume()
      else this.connection.pause()
    }
    if (this.#hasEndedEarly) events.ended?.()
  }

  /**
   * Called when the connection is idle: no flow is on it any more. A subscriber may still be notified of a cut, until
   * it detaches or another flow begins.
   */
  onReleased(): void {
    this.#tellFree()
  }

  /**
   * Called when it has closed. `onForgotten` is called when no subscriber waits for the reason: that may come after the
   * end.
   */
  onClosed(onForgotten: () => void): void {
    this.#tellFree()
    if (this.#onCut === undefined) onForgotten()
    else this.#onForgotten = onForgotten
  }

  /** Removes the subscriber of flow `number`. */
  detach(number = this.#number): void {
    if (number !== this.#number) return
    this.#onCut = undefined
    this.#onForgotten?.()
    this.#onForgotten = undefined
  }

  /** The other end reports on the session that it has cut flow `number`. */
  cutBy(number: number, code: number): void {
    if (number === this.#number) this.#onCut?.(cutOf(code))
  }

  /** The session has closed, and with it the flow and the connection. */
  onSessionClosed(): void {
    this.#onCut?.(LINK_LOST)
    this.connection.destroy()
  }

  /** Cuts the flow that is on it, sends the reason to the other end, and closes the connection. */
  abort(kind: CutKind): void {
    this.#cuts.send({ connectionId: this.id, number: this.#number, kind })
    this.connection.destroy()
    this.detach()
  }

  #tellFree(): void {
    for (const { done } of this.#early.splice(0)) done()
    const onFree = this.#onFree
    this.#onFree = undefined
    onFree?.()
  }
}

function refusalIn(content: Buffer): WarrenError {
  try {
    const { code, reason } = decode(proxyPb.FlowErrorSchema, content, MAX_MESSAGE_BYTES)
    return fromWireError(code, reason)
  } catch (err) {
    return WarrenError.from(err)
  }
}

function bytesOf({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): Buffer {
  return Buffer.from(buffer, byteOffset, length)
}
