import { type ByteLeg, type Cut, type LegEvents, LINK_LOST } from '../flow/index.ts'

export interface Moving {
  /** Takes what comes, in order. `follow` has its leg read on, or not, as there is room. */
  readonly side: LegEvents & { readonly follow: () => void }
  readonly former: ByteLeg
  /** Whether its direction had ended before, on the former leg. */
  readonly hasEnded: boolean
  /** All that has come from this side. */
  readonly received: () => number
  /** Called when the bytes of the former leg have all come: from now on `follow` is about the new one. */
  readonly arrived: () => void
}

const TWICE: Cut = { kind: 'link', text: 'the other agent sent bytes of the flow twice, or after its end' }

/**
 * What comes from a side that moves to another leg: from the former leg first, up to where the other end has left it, however much
 * later that arrives. It takes what the new leg brings; `former` takes what the former brings.
 */
export class Swap implements LegEvents {
  readonly former: LegEvents
  readonly #moving: Moving
  /** Undefined until the other end has said where it leaves the former leg. */
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
        // Nothing more comes on it but its end.
        return hasRoom || this.#hasArrived
      },
      ended: () => {
        this.#hasFormerEnded = true
        this.#look()
      },
      // There is room on the new leg already.
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

  /** Gives back what waits for its turn. */
  drop(): void {
    for (const { release } of this.#held.splice(0)) release?.()
  }

  #look(): void {
    // Until the other end has said where it leaves, the end of the former leg may be that of its direction, or only that of the leg:
    // who has sent all on the new one ends both, and the one may overtake the other.
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
