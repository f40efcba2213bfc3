import type { Address } from '../identity/index.ts'
import { type Bundle, nextChangeMs } from './bundle.ts'
import { type Decision, evaluate, type Question } from './evaluate.ts'

/** Destinations that are remembered for one source. */
export const MAX_REMEMBERED = 256

interface Known {
  readonly bundle: Bundle | undefined
  readonly question: Question
  readonly decision: Decision
  /** The answer is the same from its time on, until the next rule begins or ends. */
  readonly fromMs: number
  readonly untilMs: number
}

/**
 * Answers as `evaluate` does, and evaluates nothing again that the last connection of a pair has asked.
 *
 * The objects are compared, and not their contents: a policy, an address and a whitelist are frozen, and another version
 * of them is another object. So an answer never outlives the policy, the registration or the date that it was made for.
 */
export class Decisions {
  readonly #sources = new WeakMap<Address, Map<Address, Known>>()

  decide(bundle: Bundle | undefined, question: Question, nowMs: number): Decision {
    const { source, destination } = question
    const ofSource = this.#of(source)
    const known = ofSource.get(destination)
    if (known !== undefined && isFor(known, bundle, question, nowMs)) return known.decision
    const decision = evaluate(bundle, question, nowMs)
    const untilMs = nextChangeMs(bundle, nowMs) ?? Number.POSITIVE_INFINITY
    // Rather none than a list of which was used last: that would cost each connection more than an evaluation.
    if (known === undefined && ofSource.size >= MAX_REMEMBERED) ofSource.clear()
    ofSource.set(destination, { bundle, question, decision, fromMs: nowMs, untilMs })
    return decision
  }

  #of(source: Address): Map<Address, Known> {
    const found = this.#sources.get(source)
    if (found !== undefined) return found
    const made = new Map<Address, Known>()
    this.#sources.set(source, made)
    return made
  }
}

function isFor(known: Known, bundle: Bundle | undefined, question: Question, nowMs: number): boolean {
  return (
    known.bundle === bundle &&
    known.question.protocol === question.protocol &&
    known.question.whitelist === question.whitelist &&
    nowMs >= known.fromMs &&
    nowMs < known.untilMs
  )
}
