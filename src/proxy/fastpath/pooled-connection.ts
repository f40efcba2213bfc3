import { WarrenError } from '../../core/index.ts'
import { brokerPb, create, decode, toBinary } from '../../wire/index.ts'
import { type Cut, type CutKind, cutOf, LINK_LOST } from '../flow/index.ts'
import { refusalOf, toldOf } from '../refusal.ts'
import type { LaneCuts } from './fastpath-cuts.ts'
import { MAX_MESSAGE_BYTES } from './format.ts'
import type { Lane } from './record-connection.ts'
import type { LaneEvents } from './record-events.ts'

/** A flow that is asked for. */
export interface LaneOpen {
  readonly registrationId: string
  /** As text, with its machine. */
  readonly destination: string
  readonly flowId: string
}

/** The lane was lost before the flow was granted. */
export class LaneLost extends Error {}

/** A lane that carries one flow after another, at either end. */
export class KeptLane {
  readonly lane: Lane
  readonly id: number
  readonly #cuts: LaneCuts
  #number = 0
  #onCut: ((cut: Cut) => void) | undefined
  #onFree: (() => void) | undefined
  #onForgotten: (() => void) | undefined
  /** The other end cut the flow before anybody attended. */
  #cut: Cut | undefined
  /** What came after the grant and before anybody attended. */
  #early: { readonly bytes: Buffer; readonly done: () => void }[] = []
  #hasEndedEarly = false

  constructor(lane: Lane, id: number, cuts: LaneCuts) {
    this.lane = lane
    this.id = id
    this.#cuts = cuts
  }

  /**
   * Asks for a flow, at a lane that rests. The promise resolves once it is granted: its bytes wait until somebody attends. It rejects
   * with the refusal, after which the lane rests, or with LaneLost. `onFree` is called once the lane is free of the flow.
   */
  ask(open: LaneOpen, onFree: () => void): PromiseWithResolvers<void> {
    this.begin(onFree)
    const answer = Promise.withResolvers<void>()
    let isAnswered = false
    // Once it is answered somebody will attend, who waits to be told why.
    const lost = (): void => {
      if (isAnswered) return
      answer.reject(new LaneLost())
      this.forget()
    }
    this.#onCut = cut => {
      this.#cut = cut
      lost()
    }
    this.lane.ask(bytesOf(toBinary(brokerPb.FlowOpenSchema, create(brokerPb.FlowOpenSchema, open))), {
      answered: refusal => {
        isAnswered = true
        if (refusal === undefined) {
          answer.resolve()
          return
        }
        this.forget()
        answer.reject(refusalIn(refusal))
      },
      data: (bytes, done) => {
        this.#early.push({ bytes, done })
        return false
      },
      ended: () => {
        this.#hasEndedEarly = true
      },
      closed: lost
    })
    return answer
  }

  /** Another flow begins on it; `onFree` is called once it is free of it again. */
  begin(onFree: () => void): void {
    this.#number += 1
    this.#onCut = undefined
    this.#cut = undefined
    this.#hasEndedEarly = false
    this.#onFree = onFree
  }

  grant(): void {
    this.lane.grant()
  }

  refuse(error: WarrenError): void {
    this.lane.refuse(bytesOf(toBinary(brokerPb.FlowErrorSchema, create(brokerPb.FlowErrorSchema, toldOf(error)))))
  }

  /** Which of its flows is on it, or was last, from 1 on. */
  get number(): number {
    return this.#number
  }

  /** Tells `events` what comes of the flow on it, and `onCut` that the other end has cut it, until `forget`. */
  attend(events: LaneEvents, onCut: (cut: Cut) => void): void {
    this.#onCut = onCut
    this.lane.attend(events)
    if (this.#cut !== undefined || this.lane.isOver) {
      if (this.#cut !== undefined) onCut(this.#cut)
      // Why may still be said.
      else events.closed(new LaneLost())
      return
    }
    if (this.#early.length > 0) {
      let isWanted = true
      for (const { bytes, done } of this.#early.splice(0)) isWanted = events.data?.(bytes, done) ?? true
      if (isWanted) this.lane.resume()
    }
    if (this.#hasEndedEarly) events.ended?.()
  }

  /** It rests again: no flow is on it any more. Who attends may still be told that it was cut, until it forgets or another begins. */
  freed(): void {
    this.#tellFree()
  }

  /** It is over. `onForgotten` is called when nobody waits to be told why: the reason may come after the end. */
  over(onForgotten: () => void): void {
    this.#tellFree()
    if (this.#onCut === undefined) onForgotten()
    else this.#onForgotten = onForgotten
  }

  /** Nobody attends any more to flow `number` on it. */
  forget(number = this.#number): void {
    if (number !== this.#number) return
    this.#onCut = undefined
    this.#onForgotten?.()
    this.#onForgotten = undefined
  }

  /** The other end says on the session that it has cut flow `number`. */
  cutBy(number: number, code: number): void {
    if (number === this.#number) this.#onCut?.(cutOf(code))
  }

  /** The session has ended, and with it the flow and the lane. */
  lost(): void {
    this.#onCut?.(LINK_LOST)
    this.lane.destroy()
  }

  /** Cuts the flow that is on it, tells the other end why, and gives up the lane. */
  abort(kind: CutKind): void {
    this.#cuts.send({ laneId: this.id, number: this.#number, kind })
    this.lane.destroy()
    this.forget()
  }

  #tellFree(): void {
    for (const { done } of this.#early.splice(0)) done()
    const onFree = this.#onFree
    this.#onFree = undefined
    onFree?.()
  }
}

/** What a FlowOpen holds. Throws MESSAGE_MALFORMED. */
export function readOpen(content: Buffer): LaneOpen {
  return decode(brokerPb.FlowOpenSchema, content, MAX_MESSAGE_BYTES)
}

function refusalIn(content: Buffer): WarrenError {
  try {
    const { code, reason } = decode(brokerPb.FlowErrorSchema, content, MAX_MESSAGE_BYTES)
    return refusalOf(code, reason)
  } catch (err) {
    return WarrenError.from(err)
  }
}

function bytesOf({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): Buffer {
  return Buffer.from(buffer, byteOffset, length)
}
