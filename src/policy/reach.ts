import type { Protocol } from '../core/index.ts'
import type { Address, Pattern } from '../identity/index.ts'
import type { Rule } from './rule.ts'
import {
  ANY_NAME,
  type Box,
  Cover,
  common,
  DESTINATION_SCOPE,
  namesOfMatcher,
  PROTOCOL,
  pick,
  SOURCE_SCOPE,
  theNames
} from './space/index.ts'

/** Connections between two sets of addresses. */
export interface Pairs {
  readonly source: Pattern
  readonly destination: Pattern
  /** Empty: every protocol. */
  readonly protocols: readonly Protocol[]
}

/** One connection that a set has, at one time. */
export interface Example {
  readonly source: Address
  readonly destination: Address
  readonly protocol: Protocol
  readonly atMs: number
}

/** The connections of a rule, or of a question, in a space of boxes. */
export interface RuleBox extends Box {
  readonly rule?: Rule
}

export interface Times {
  readonly fromMs: number
  readonly untilMs: number
}

/**
 * The connections of `pairs` whose scopes may differ. Those within a scope are in it, too.
 */
export function crossingBox({ source, destination, protocols }: Pairs, times: Times): RuleBox {
  const dimensions = [...source.matchers, ...destination.matchers].map(namesOfMatcher)
  return { dimensions: [...dimensions, theNames(protocols.length === 0 ? ['tcp', 'udp'] : protocols)], ...times }
}

/**
 * The connections of `pairs` within one scope, in a space where both ends have the scope of the source. Undefined if
 * there are none.
 */
export function insideBox(pairs: Pairs, times: Times): RuleBox | undefined {
  const { dimensions } = crossingBox(pairs, times)
  const scope = common(dimensions[SOURCE_SCOPE] ?? ANY_NAME, dimensions[DESTINATION_SCOPE] ?? ANY_NAME)
  if (scope === undefined) return undefined
  return { dimensions: dimensions.with(SOURCE_SCOPE, scope).with(DESTINATION_SCOPE, ANY_NAME), ...times }
}

/** Whether a rule can allow across scopes: only one that names both, and two different ones. */
function isCrossing({ source, destination }: Pairs): boolean {
  const [from] = source.matchers
  const [to] = destination.matchers
  if (from.any || to.any) return false
  return new Set([...from.names, ...to.names]).size > 1
}

/** The rules that allow and those that deny, as boxes of both spaces, from `nowMs` on. */
export function spacesOf(rules: readonly Rule[], nowMs: number) {
  const allowing = rules.filter(({ effect }) => effect !== 'deny')
  const denying = rules.filter(({ effect }) => effect === 'deny')
  const crossing = (some: readonly Rule[]): Cover<RuleBox> =>
    new Cover(some.flatMap(rule => withTimes(rule, nowMs, times => ({ ...crossingBox(rule, times), rule }))))
  const inside = (some: readonly Rule[]): Cover<RuleBox> =>
    new Cover(
      some.flatMap(rule =>
        withTimes(rule, nowMs, times => {
          const box = insideBox(rule, times)
          return box === undefined ? undefined : { ...box, rule }
        })
      )
    )
  return {
    crossing: { allowing: crossing(allowing.filter(isCrossing)), denying: crossing(denying) },
    inside: { allowing: inside(allowing), denying: inside(denying) }
  }
}

/** A connection of a box. `isInside`: the box is of the space within one scope. */
export function exampleOf({ dimensions, fromMs }: Box, isInside: boolean): Example {
  const name = (at: number): string => pick(dimensions[at] ?? ANY_NAME, EXAMPLE_NAMES[at % 5] ?? 'any')
  const address = (first: number): Address => ({
    scope: name(first),
    appGroup: name(first + 1),
    appIdentity: name(first + 2),
    resourceGroup: name(first + 3),
    machine: name(first + 4)
  })
  const source = address(SOURCE_SCOPE)
  const destination = address(DESTINATION_SCOPE)
  const protocol: Protocol = pick(dimensions[PROTOCOL] ?? ANY_NAME, 'tcp') === 'udp' ? 'udp' : 'tcp'
  return {
    source,
    destination: isInside ? { ...destination, scope: source.scope } : destination,
    protocol,
    atMs: fromMs
  }
}

const EXAMPLE_NAMES = ['scope', 'group', 'name', 'resource', 'machine']

function withTimes<T>(rule: Rule, nowMs: number, make: (times: Times) => T | undefined): T[] {
  const fromMs = Math.max(rule.notBeforeMs, nowMs)
  const untilMs = rule.untilMs === 0 ? Number.POSITIVE_INFINITY : rule.untilMs
  const made = fromMs < untilMs ? make({ fromMs, untilMs }) : undefined
  return made === undefined ? [] : [made]
}
