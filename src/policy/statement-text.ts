import type { Revocation } from '../identity/index.ts'
import type { AdminGrant, AdminRemoval, Withdrawal } from './admin.ts'
import { type Bundle, type Content, contentOf } from './bundle.ts'
import type { Entry } from './entry.ts'
import type { Invariant } from './invariant.ts'
import { entryText, pairText } from './plan.ts'
import type { Rule } from './rule.ts'
import { isLimited, type UsageLimits } from './usage-limits.ts'

interface Stated {
  readonly id: string
  readonly reason: string
}

/**
 * What an admin states by `next` and did not by `former`, or no longer states: one line each, which begins with "+" or "-".
 *
 * It is for people who sign: everything that decides has a line, and a statement that changed has two.
 */
export function differencesOf(former: Bundle | undefined, next: Bundle): string[] {
  const [before, after] = [contentOf(former), contentOf(next)]
  const listed = LISTS.flatMap(({ of, text }) => {
    const [old, fresh] = [of(before).map(text), of(after).map(text)]
    return [...minus(old, fresh).map(line => `- ${line}`), ...minus(fresh, old).map(line => `+ ${line}`)]
  })
  const strict = after.strict === before.strict ? [] : [`${after.strict ? '+' : '-'} entries are strict`]
  return [
    ...listed,
    ...strict,
    ...(isReordered(before, after) ? ['+ another order of admins, by which one is older'] : [])
  ]
}

function isReordered({ admins: before = [] }: Content, { admins: after = [] }: Content): boolean {
  const [old, fresh] = [before.map(({ key }) => key), after.map(({ key }) => key)]
  const kept = old.filter(key => fresh.includes(key))
  return kept.join() !== fresh.filter(key => old.includes(key)).join()
}

function minus(these: readonly string[], those: readonly string[]): string[] {
  const known = new Set(those)
  return these.filter(line => !known.has(line))
}

interface List<T> {
  readonly of: (content: Content) => readonly T[]
  readonly text: (item: T) => string
}

const list = <T extends Stated>(
  of: (content: Content) => readonly T[] | undefined,
  text: (item: T) => string
): List<never> => {
  const withReason = (item: T): string =>
    `${text(item)}${item.reason === '' ? '' : `; reason: ${JSON.stringify(item.reason)}`}`
  return { of: content => (of(content) ?? []) as never[], text: withReason }
}

const LISTS: ReadonlyArray<List<never>> = [
  list<Rule>(
    ({ rules }) => rules,
    rule => `rule ${rule.id}: ${pairText(rule.effect, rule)}${datesText(rule)}${limitsText(rule)}`
  ),
  list<Entry>(
    ({ entries }) => entries,
    entry => `entry ${entry.id}: ${entryText(entry)}${gatewaysText(entry)}${limitsText(entry)}`
  ),
  list<Invariant>(
    ({ invariants }) => invariants,
    invariant => `invariant ${invariant.id}: ${pairText('never', invariant)}`
  ),
  list<Revocation>(({ revocations }) => revocations, revocationText),
  list<AdminGrant>(
    ({ admins }) => admins,
    ({ name, role, scopes, key }) =>
      `admin ${name}: ${role}${scopes.length === 0 ? '' : ` of ${scopes.join(', ')}`}, key ${key}`
  ),
  list<AdminRemoval>(
    ({ adminRemovals }) => adminRemovals,
    ({ key, sequence, sha256 }) =>
      `removal of the key ${key}: ${sequence === 0n ? 'nothing of it counts' : `version ${sequence} counts, ${sha256}`}`
  ),
  list<Withdrawal>(
    ({ withdrawals }) => withdrawals,
    ({ author, statement }) => `withdrawal of ${statement} of ${author}`
  )
]

function datesText({ notBeforeMs, untilMs }: Pick<Rule, 'notBeforeMs' | 'untilMs'>): string {
  const from = notBeforeMs === 0 ? '' : ` from ${new Date(notBeforeMs).toISOString()}`
  return untilMs === 0 ? from : `${from} until ${new Date(untilMs).toISOString()}`
}

function limitsText(limits: UsageLimits): string {
  if (!isLimited(limits)) return ''
  const { maxConnects, maxRateBytes } = limits
  const named = [
    maxConnects === undefined ? '' : `${maxConnects} connections at most`,
    maxRateBytes === undefined ? '' : `${maxRateBytes} bytes a second at most`
  ]
  return `, ${named.filter(text => text !== '').join(', ')}`
}

function gatewaysText({ gateways }: Entry): string {
  return gateways === undefined ? '' : `, for servers ${gateways.join(', ')}`
}

function revocationText({ id, machine, beforeMs, peers, keys, pattern }: Revocation): string {
  const named = [
    ...(machine === undefined ? [] : [`host ${machine} as of before ${new Date(beforeMs).toISOString()}`]),
    ...(pattern === undefined ? [] : [pattern.text]),
    ...peers,
    ...keys
  ]
  return `revocation ${id}: ${named.join(', ')}`
}
