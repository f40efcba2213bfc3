import type { Bundle } from './bundle.ts'
import { evaluate } from './evaluate.ts'
import { crossingBox, type Example, exampleOf, insideBox, type Pairs, type RuleBox, spacesOf } from './reach.ts'
import type { Rule } from './rule.ts'
import {
  ANY_NAME,
  type Box,
  type Budget,
  BudgetSpent,
  type Cover,
  DESTINATION_SCOPE,
  intersection,
  pick,
  SOURCE_SCOPE,
  theNames,
  without
} from './space/index.ts'

/** What somebody expects of the rules: that all of these connections are allowed, or that none is. */
export interface Assertion extends Pairs {
  readonly isAllowed: boolean
}

export type Verdict =
  | { readonly holds: true }
  /** `example`: a connection that contradicts; undefined if it could not be decided. */
  | { readonly holds: false; readonly example: Example | undefined }

/** Comparisons of boxes for one assertion. */
const MAX_COMPARISONS = 2_000_000

const NOTHING: Bundle = Object.freeze({
  trustDomain: '',
  version: 0n,
  sha256: '',
  issuedAtMs: 0,
  isBeginning: true,
  rules: [],
  entries: [],
  strict: false,
  revocations: [],
  invariants: [],
  signed: new Uint8Array()
})

/** Decides assertions about one set of rules at one time, exactly. Whitelists of destinations and revocations do not count. */
export class Assertions {
  readonly #spaces: ReturnType<typeof spacesOf>
  readonly #bundle: Bundle
  readonly #times: { readonly fromMs: number; readonly untilMs: number }

  constructor(rules: readonly Rule[], nowMs: number) {
    this.#spaces = spacesOf(rules, nowMs)
    this.#bundle = { ...NOTHING, rules }
    this.#times = { fromMs: nowMs, untilMs: nowMs + 1 }
  }

  decide(assertion: Assertion): Verdict {
    const budget: Budget = { left: MAX_COMPARISONS }
    try {
      const example = assertion.isAllowed ? this.#refused(assertion, budget) : this.#allowed(assertion, budget)
      return example === undefined ? { holds: true } : { holds: false, example }
    } catch (err) {
      if (err instanceof BudgetSpent) return { holds: false, example: undefined }
      throw err
    }
  }

  /** What the rules say of one connection, in words. */
  why({ source, destination, protocol, atMs }: Example): string {
    return evaluate(this.#bundle, { source, destination, protocol, whitelist: [] }, atMs).text
  }

  /** A connection of these that is allowed. */
  #allowed(pairs: Pairs, budget: Budget): Example | undefined {
    const { crossing, inside } = this.#spaces
    const find = (box: RuleBox, { allowing, denying }: typeof crossing): Box | undefined => {
      for (const allowed of allowing.meeting(box, budget)) {
        const both = intersection(allowed, box)
        const open = both === undefined ? undefined : denying.uncovered(both, budget)
        if (open !== undefined) return open
      }
      return undefined
    }
    const across = find(crossingBox(pairs, this.#times), crossing)
    if (across !== undefined) return exampleOf(across, false)
    const box = insideBox(pairs, this.#times)
    const within = box === undefined ? undefined : find(box, inside)
    return within === undefined ? undefined : exampleOf(within, true)
  }

  /** A connection of these that is not allowed. */
  #refused(pairs: Pairs, budget: Budget): Example | undefined {
    const { crossing, inside } = this.#spaces
    const box = insideBox(pairs, this.#times)
    const within = box && (inside.allowing.uncovered(box, budget) ?? firstCommon(inside.denying, box, budget))
    if (within !== undefined) return exampleOf(within, true)
    const all = crossingBox(pairs, this.#times)
    // What is within one scope has been decided above.
    const across =
      crossing.allowing.uncovered(all, budget, part => apart(part) !== undefined) ??
      firstCommon(crossing.denying, all, budget, part => apart(part) !== undefined)
    const example = across === undefined ? undefined : apart(across)
    return example === undefined ? undefined : exampleOf(example, false)
  }
}

function firstCommon(
  boxes: Cover<RuleBox>,
  box: RuleBox,
  budget: Budget,
  counts: (part: Box) => boolean = () => true
): Box | undefined {
  for (const one of boxes.meeting(box, budget)) {
    const both = intersection(one, box)
    if (both !== undefined && counts(both)) return both
  }
  return undefined
}

/** A part of a box in which the scopes of the ends are two different ones; undefined if there is none. */
function apart(box: Box): Box | undefined {
  const { dimensions } = box
  const [sources, destinations] = [dimensions[SOURCE_SCOPE] ?? ANY_NAME, dimensions[DESTINATION_SCOPE] ?? ANY_NAME]
  const scopes = (source: string, destination: string): Box => ({
    ...box,
    dimensions: dimensions.with(SOURCE_SCOPE, theNames([source])).with(DESTINATION_SCOPE, theNames([destination]))
  })
  const source = pick(sources, 'scope')
  const others = without(destinations, theNames([source]))
  if (others !== undefined) return scopes(source, pick(others, 'scope'))
  const destination = pick(destinations, 'scope')
  const otherSources = without(sources, theNames([destination]))
  return otherSources === undefined ? undefined : scopes(pick(otherSources, 'scope'), destination)
}
