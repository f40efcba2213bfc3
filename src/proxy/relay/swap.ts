import { type ByteLeg, type Cut, type LegEvents, LINK_LOST } from '../flow/index.ts'

export interface Moving {
  /** Receives the bytes in order. `follow` makes its leg continue or pause reading, as there is room. */
  readonly side: LegEvents & { readonly follow: () => void }
  readonly former: ByteLeg
  /** Whether its direction had ended before, on the former leg. */
  readonly hasEnded: boolean
  /** Bytes that have arrived from this side so far. */
  readonly received: () => number
  /** Called when all bytes of the former leg have arrived: from now on `follow` concerns the new one. */
  readonly arrived: () => void
}

export const TWICE: Cut = { kind: 'link', text: 'the other agent sent bytes of the flow twice, or after its end' }

/**
 * Orders the bytes from a side that moves to another leg: those of the former leg come first, up to the offset where
 * the other end has left it, even if they arrive much later. It receives the events of the new leg; `former` receives
 * those of the former.
 */
export class Swap implements LegEvents {
  readonly former: LegEvents
  readonly #moving: Moving
  /** Undefined until the other end has reported where it leaves the former leg. */
  #theirs: { readonly offset: number | undefined } | undefined
  #held: { readonly bytes: Buffer; readonly release: (() => void) | undefined }[] = []
  #isHeldEnd = false
  #hasFormerEnded = false
  #hasArrived = false

  constructor(moving: Moving) {
    this.#moving = moving
    const { side } = moving
    this.former = {
      data: (bytes, release) => {
        const hasRoom = side.data(bytes, release)
        this.#look()
        // Only its end can still arrive on it.
        return hasRoom || this.#hasArrived
      },
      ended: () => {
        this.#hasFormerEnded = true
        this.#look()
      },
      // The new leg has room already.
      drained: () => {},
      finished: () => side.finished(),
      failed: cut => side.failed(cut)
    }
  }

  started(offset: number | undefined): void {
    this.#theirs = { offset }
    this.#look()
  }

  data(bytes: Buffer, release?: () => void): boolean {
    if (this.#hasArrived) return this.#moving.side.data(bytes, release)
    this.#held.push({ bytes, release })
    return false
  }

  ended(): void {
    if (this.#hasArrived) this.#moving.side.ended()
    else this.#isHeldEnd = true
  }

  drained(): void {
    this.#moving.side.drained()
  }

  finished(): void {
    this.#moving.side.finished()
  }

  failed(cut: Cut): void {
    this.#moving.side.failed(cut)
  }

  /** Releases the bytes that wait for their turn. */
  drop(): void {
    for (const { release } of this.#held.splice(0)) release?.()
  }

  #look(): void {
    // Until the other end has reported where it leaves, the end of the former leg may be that of its direction, or only
    // that of the leg: a peer that has sent everything on the new one ends both, and one end may overtake the other.
    if (this.#theirs === undefined || this.#hasArrived) return
    const { side, hasEnded, received } = this.#moving
    const { offset } = this.#theirs
    if (offset === undefined) {
      if (this.#hasFormerEnded) side.ended()
      return
    }
    if (hasEnded || received() > offset) side.failed(TWICE)
    else if (received() === offset) this.#arrive()
    else if (this.#hasFormerEnded) side.failed(LINK_LOST)
  }

  #arrive(): void {
    const { side, former, arrived } = this.#moving
    this.#hasArrived = true
    arrived()
    former.resume()
    for (const { bytes, release } of this.#held.splice(0)) side.data(bytes, release)
    if (this.#isHeldEnd) side.ended()
    else side.follow()
  }
}
