import type { ByteLeg, Cut, Flow, JoiningLeg } from '../flow/index.ts'
import { Side, type SideName, type SideOwner } from './side.ts'

/** Joins the two legs of a flow until both directions have ended, each for itself, and counts their bytes. */
export function relay(flow: Flow, source: ByteLeg, destination: ByteLeg): Relay {
  return new Relay(flow, source, destination)
}

/** A flow whose legs are joined. */
export class Relay implements SideOwner {
  /**
   * Resolves with undefined after two clean ends; on anything else (a leg fails, or the flow is cut) aborts all legs and resolves with
   * the reason. Never rejects.
   */
  readonly over: Promise<Cut | undefined>
  /** Called with each piece that was read, once it is counted. */
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

  /** Bytes that were sent towards a side, whatever has become of them. */
  sentTo(side: SideName): number {
    return side === 'source' ? this.#flow.bytesIn : this.#flow.bytesOut
  }

  /**
   * Moves a side to another leg: its direction goes on there from `offset` on, and what comes from it comes there from where the other
   * end says. The former leg stays until the flow is over, for what is under way on it, and since it may say why the flow is cut.
   * Throws RangeError unless `offset` is what was sent so far, for nothing is kept to be sent again. Only while the flow is not over.
   */
  swap(side: SideName, leg: JoiningLeg, offset: number): void {
    if (offset !== this.sentTo(side)) throw new RangeError(`the direction is not at ${offset}`)
    this.#sides[side].swap(leg, offset, () => this.sentTo(side === 'source' ? 'destination' : 'source'))
  }

  /** A side has brought bytes, which are counted. For its sides alone, as the next two. */
  read(): void {
    this.onRead?.()
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
    this.#flow.signal.removeEventListener('abort', this.#onCut)
  }
}
