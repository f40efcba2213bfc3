import type { ByteLeg, Cut, Flow, JoiningLeg } from '../flow/index.ts'
import { Side, type SideName, type SideOwner } from './side.ts'

/** Joins the two legs of a flow until both directions have ended independently, and counts their bytes. */
export function relay(flow: Flow, source: ByteLeg, destination: ByteLeg): Relay {
  return new Relay(flow, source, destination)
}

/** A flow whose legs are joined. */
export class Relay implements SideOwner {
  /**
   * Resolves with undefined after two clean ends; on anything else (a leg fails, or the flow is cut) aborts all legs
   * and resolves with the reason. Never rejects.
   */
  readonly over: Promise<Cut | undefined>
  /** Called for each read, once its bytes are counted. */
  onRead: (() => void) | undefined
  readonly #flow: Flow
  readonly #settle: (cut: Cut | undefined) => void
  readonly #sides: Readonly<Record<SideName, Side>>
  #isClosed = false

  constructor(flow: Flow, source: ByteLeg, destination: ByteLeg) {
    const { promise, resolve } = Promise.withResolvers<Cut | undefined>()
    this.over = promise
    this.#settle = resolve
    this.#flow = flow
    const sides = {
      source: new Side('source', source, flow, this),
      destination: new Side('destination', destination, flow, this)
    }
    this.#sides = sides
    flow.waitingBytes = () => sides.source.waitingBytes + sides.destination.waitingBytes
    flow.signal.addEventListener('abort', this.#onCut, { once: true })
    if (flow.signal.aborted) this.#onCut()
    else sides.source.join(sides.destination)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Bytes that were sent towards a side, delivered or not. */
  sentTo(side: SideName): number {
    return side === 'source' ? this.#flow.bytesIn : this.#flow.bytesOut
  }

  /**
   * Moves a side to another leg. The direction towards it continues there from `offset` on; bytes from it arrive there
   * from the offset that the other end reports. The former leg stays until the flow has ended, for bytes in transit on
   * it, and since it may report why the flow is cut. Throws RangeError unless `offset` is the number of bytes sent so
   * far, because no byte is kept to be sent again. Must not be called after the flow has ended.
   */
  swap(side: SideName, leg: JoiningLeg, offset: number): void {
    if (offset !== this.sentTo(side)) throw new RangeError(`the direction is not at ${offset}`)
    this.#sides[side].swap(leg, offset, () => this.sentTo(side === 'source' ? 'destination' : 'source'))
  }

  /** A side has received bytes, which are counted. This and the next three are only for its sides. */
  read(): void {
    this.onRead?.()
  }

  held(): void {
    const { source, destination } = this.#sides
    if (source.isHeldBack || destination.isHeldBack) this.#flow.room?.hold(this.#flow.waitingBytes)
    else this.#flow.room?.release()
  }

  /** A side has passed on the end of its direction. */
  finished(): void {
    const { source, destination } = this.#sides
    if (this.#isClosed || !source.isFinished || !destination.isFinished) return
    this.#release()
    source.close()
    destination.close()
    this.#settle(undefined)
  }

  failed(cut: Cut): void {
    if (this.#isClosed) return
    this.#release()
    const reason = this.#flow.cutBy ?? cut
    this.#sides.source.abort(reason.kind)
    this.#sides.destination.abort(reason.kind)
    this.#settle(reason)
  }

  readonly #onCut = (): void => this.failed({ kind: 'shutdown', text: 'cut' })

  #release(): void {
    this.#isClosed = true
    this.#flow.room?.release()
    this.#flow.signal.removeEventListener('abort', this.#onCut)
  }
}
