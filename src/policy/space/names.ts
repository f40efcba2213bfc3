import type { Matcher } from '../../identity/index.ts'

/** A set of names of one component: these names, or all but these. Never empty. */
export interface Names {
  readonly not: boolean
  readonly names: ReadonlySet<string>
}

export const ANY_NAME: Names = Object.freeze({ not: true, names: new Set<string>() })

export function namesOfMatcher(matcher: Matcher): Names {
  return matcher.any ? ANY_NAME : theNames(matcher.names)
}

export function theNames(names: readonly string[]): Names {
  return { not: false, names: new Set(names) }
}

/** What is in both; undefined if nothing is. */
export function common(a: Names, b: Names): Names | undefined {
  if (isAny(a)) return b
  if (isAny(b)) return a
  if (a.not && b.not) return { not: true, names: new Set([...a.names, ...b.names]) }
  const [listed, other] = a.not ? [b, a] : [a, b]
  return nonEmpty([...listed.names].filter(name => has(other, name)))
}

/** What is in `a` and not in `b`; undefined if nothing is. */
export function without(a: Names, b: Names): Names | undefined {
  if (!a.not) return nonEmpty([...a.names].filter(name => !has(b, name)))
  // All but some, without all but others: some of the others are left.
  if (b.not) return nonEmpty([...b.names].filter(name => has(a, name)))
  return { not: true, names: new Set([...a.names, ...b.names]) }
}

/** Whether everything in `b` is in `a`. */
export function includes(a: Names, b: Names): boolean {
  if (isAny(a)) return true
  if (b.not) return without(b, a) === undefined
  for (const name of b.names) if (!has(a, name)) return false
  return true
}

/** Whether something is in both. */
export function overlap(a: Names, b: Names): boolean {
  if (a.not && b.not) return true
  const listed = a.not ? b : a
  const other = a.not ? a : b
  if (isAny(other)) return true
  for (const name of listed.names) if (has(other, name)) return true
  return false
}

export function has({ not, names }: Names, name: string): boolean {
  return names.has(name) !== not
}

export function isAny({ not, names }: Names): boolean {
  return not && names.size === 0
}

/** A name of the set: a listed one, else `preferred`, or the first of preferred2, preferred3… that is not excluded. */
export function pick({ not, names }: Names, preferred: string): string {
  if (!not) for (const name of names) return name
  for (let serial = 1; ; serial += 1) {
    const name = serial === 1 ? preferred : `${preferred}${serial}`
    if (!names.has(name)) return name
  }
}

function nonEmpty(names: readonly string[]): Names | undefined {
  return names.length === 0 ? undefined : theNames(names)
}
