import { ErrorCode, WarrenError } from '../core/index.ts'
import { type Address, isComponent, RESERVED_SCOPE } from './address.ts'

/** The names that one component of a pattern admits: any name, or one of some. */
export type Matcher = { readonly any: true } | { readonly any: false; readonly names: readonly string[] }

/**
 * A set of addresses: each component is a name, `*` or `{a,b}`; without a fifth component, any machine.
 *
 * There are no partial wildcards and no regular expressions, so that two people read the same set from one pattern.
 */
export interface Pattern {
  readonly text: string
  readonly matchers: readonly [Matcher, Matcher, Matcher, Matcher, Matcher]
}

const ANY: Matcher = Object.freeze({ any: true })
const MAX_TEXT = 1_024

/** Parses a pattern. Throws INVALID_ARGUMENT, which states the fault and the form of a pattern. */
export function parsePattern(text: string): Pattern {
  if (text.length > MAX_TEXT) throw malformed(text, 'is too long')
  const parts = text.split('.')
  if (parts.length !== 4 && parts.length !== 5) throw malformed(text, `has ${parts.length} components, not 4 or 5`)
  const [scope, appGroup, appIdentity, resourceGroup, machine = ANY] = parts.map(part => parseMatcher(text, part))
  if (scope === undefined || appGroup === undefined || appIdentity === undefined || resourceGroup === undefined) {
    throw malformed(text, 'is incomplete')
  }
  if (!scope.any && scope.names.includes(RESERVED_SCOPE)) {
    throw malformed(text, `uses the reserved scope "${RESERVED_SCOPE}"`)
  }
  return { text, matchers: [scope, appGroup, appIdentity, resourceGroup, machine] }
}

/** Whether `address` is in the set of `pattern`. */
export function matches(pattern: Pattern, address: Address): boolean {
  const [scope, appGroup, appIdentity, resourceGroup, machine] = pattern.matchers
  return (
    admits(scope, address.scope) &&
    admits(appGroup, address.appGroup) &&
    admits(appIdentity, address.appIdentity) &&
    admits(resourceGroup, address.resourceGroup) &&
    admits(machine, address.machine)
  )
}

/** Whether the pattern names `scope` literally, and does not only cover it with a wildcard. */
export function namesScope(pattern: Pattern, scope: string): boolean {
  const matcher = pattern.matchers[0]
  return !matcher.any && matcher.names.includes(scope)
}

/** For each component the only name that it admits, or undefined if it admits several. */
export function namesOf(pattern: Pattern): Array<string | undefined> {
  return pattern.matchers.map(matcher => (!matcher.any && matcher.names.length === 1 ? matcher.names[0] : undefined))
}

function admits(matcher: Matcher, name: string): boolean {
  return matcher.any || matcher.names.includes(name)
}

function parseMatcher(text: string, part: string): Matcher {
  if (part === '*') return ANY
  const names = part.startsWith('{') && part.endsWith('}') ? part.slice(1, -1).split(',') : [part]
  for (const name of names) {
    if (!isComponent(name)) throw malformed(text, `has an invalid component "${part.slice(0, 80)}"`)
  }
  return { any: false, names }
}

function malformed(text: string, why: string): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, `pattern "${text.slice(0, 80)}" ${why}`, {
    hint: 'A pattern has 4 or 5 components, each a name, * or {a,b}, as in dev.web.*.default.'
  })
}
