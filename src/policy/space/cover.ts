import { type Box, covers, DIMENSIONS, difference, meets } from './box.ts'
import { isAny } from './names.ts'

/** Counts the comparisons of two boxes that a question may still take. */
export interface Budget {
  left: number
}

/** Thrown when a question needs more comparisons than its budget has. */
export class BudgetSpent extends Error {
  override readonly name = 'BudgetSpent'
}

/** In comparisons. */
const COST_OF_A_PIECE = 8

function spend(budget: Budget, comparisons: number): void {
  budget.left -= comparisons
  if (budget.left < 0) throw new BudgetSpent()
}

interface Dimension {
  /** Positions of the boxes with any name here. */
  readonly any: number[]
  readonly byName: Map<string, number[]>
}

/** Boxes in which each dimension lists its names or has any, so that those which meet another one are found fast. */
export class Cover<B extends Box = Box> {
  readonly #boxes: readonly B[]
  readonly #dimensions: readonly Dimension[]

  constructor(boxes: readonly B[]) {
    this.#boxes = boxes
    this.#dimensions = Array.from({ length: DIMENSIONS }, () => ({ any: [], byName: new Map() }))
    for (const [position, box] of boxes.entries()) this.#index(position, box)
  }

  /** The boxes that meet `box`, in their order. Throws BudgetSpent. */
  meeting(box: B, budget: Budget): B[] {
    let best: readonly number[][] | undefined
    let least = this.#boxes.length
    for (const [at, { any, byName }] of this.#dimensions.entries()) {
      const names = box.dimensions[at]
      if (names === undefined || names.not) continue
      const lists = [any, ...[...names.names].map(name => byName.get(name) ?? [])]
      const count = lists.reduce((sum, { length }) => sum + length, 0)
      if (count >= least) continue
      least = count
      best = lists
    }
    spend(budget, least)
    if (best === undefined) return this.#boxes.filter(one => meets(one, box))
    // A box that lists two of the names is in two lists.
    const positions = [...new Set(best.flat())].sort((a, b) => a - b)
    return positions.flatMap(position => this.#boxes[position] ?? []).filter(one => meets(one, box))
  }

  /** A part of `box` that no box covers and that `counts`; undefined if there is none. Throws BudgetSpent. */
  uncovered(box: B, budget: Budget, counts: (part: Box) => boolean = () => true): Box | undefined {
    const candidates = this.meeting(box, budget)
    if (candidates.some(one => covers(one, box))) return undefined
    const stack: Array<{ readonly part: Box; readonly next: number }> = [{ part: box, next: 0 }]
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const { part } = top
      let next = top.next
      let cutter = candidates[next]
      while (cutter !== undefined && !meets(cutter, part)) {
        next += 1
        cutter = candidates[next]
      }
      if (cutter === undefined) {
        if (counts(part)) return part
        continue
      }
      const pieces = difference(part, cutter)
      spend(budget, next - top.next + COST_OF_A_PIECE * pieces.length)
      for (const piece of pieces) stack.push({ part: piece, next: next + 1 })
    }
    return undefined
  }

  /** Whether one box covers `box` alone. Throws BudgetSpent. */
  hasCovering(box: B, budget: Budget): boolean {
    return this.meeting(box, budget).some(one => covers(one, box))
  }

  #index(position: number, box: B): void {
    for (const [at, names] of box.dimensions.entries()) {
      const dimension = this.#dimensions[at]
      if (dimension === undefined) continue
      if (isAny(names)) dimension.any.push(position)
      for (const name of names.names) {
        const listed = dimension.byName.get(name)
        if (listed === undefined) dimension.byName.set(name, [position])
        else listed.push(position)
      }
    }
  }
}
