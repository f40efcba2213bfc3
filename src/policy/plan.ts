import { ErrorCode, WarrenError } from '../core/index.ts'
import type { Bundle, Content } from './bundle.ts'
import { MAX_OWNER_LENGTH, MAX_REASON_LENGTH } from './codec.ts'
import { type NewEntry, type NewRule, nextVersion, ruleFault, selectsSame } from './edit.ts'
import type { Entry } from './entry.ts'
import { faultOf } from './entry-codec.ts'
import type { Invariant } from './invariant.ts'
import { coversSame, type Rule } from './rule.ts'
import { SELECTORS } from './selectors.ts'

export type NewInvariant = Omit<Invariant, 'id' | 'createdAtMs'>

/** A policy as somebody wants it. What is absent is not touched. */
export interface PolicyDocument {
  readonly rules?: readonly NewRule[]
  readonly entries?: readonly NewEntry[]
  readonly invariants?: readonly NewInvariant[]
  readonly strict?: boolean
}

export const SECTIONS = ['rules', 'entries', 'invariants'] as const
export type Section = (typeof SECTIONS)[number]

/** What is wrong with one item of a document. */
export interface DocumentFault {
  readonly section: Section
  /** Position in its list. */
  readonly index: number
  /** One clause. */
  readonly text: string
  /** One sentence. */
  readonly hint: string
}

/** One difference between a policy and a document. */
export interface Change {
  /** `kept`: the document does not name it, and it is not pruned. `ended`: its end has passed, and it is left out. */
  readonly kind: 'add' | 'change' | 'remove' | 'kept' | 'ended'
  readonly subject: 'rule' | 'entry' | 'invariant' | 'strict'
  /** Of what is there already; empty for what is new. */
  readonly id: string
  readonly text: string
  /** For a change: what differs, in words. */
  readonly difference: string
}

export interface Plan {
  /** What the next version says. Empty if nothing changes. */
  readonly content: Partial<Content>
  readonly changes: readonly Change[]
}

/** The faults of a document that no file format can find. */
export function documentFaults({ rules = [], entries = [], invariants = [] }: PolicyDocument): DocumentFault[] {
  const faults: DocumentFault[] = []
  const check = <T extends { readonly reason: string; readonly owner?: string | undefined }>(
    section: Section,
    items: readonly T[],
    keyOf: (item: T) => string,
    faultIn: (item: T) => { readonly text: string; readonly hint: string } | undefined
  ): void => {
    const first = new Map<string, number>()
    for (const [index, item] of items.entries()) {
      const key = keyOf(item)
      const before = first.get(key)
      const fault = faultIn(item) ?? lengthFault(item) ?? (before === undefined ? undefined : repeated(before))
      if (fault !== undefined) faults.push({ section, index, ...fault })
      if (before === undefined) first.set(key, index)
    }
  }
  check('rules', rules, pairKey, rule => ruleFault(rule))
  check('entries', entries, entryKey, entry => {
    const fault = faultOf(entry)
    return fault === undefined ? undefined : { text: `the entry ${fault}`, hint: 'As in user: www-data.' }
  })
  check('invariants', invariants, pairKey, () => undefined)
  return faults
}

/**
 * The way from a policy to what a document says. What stays the same keeps its id; what changes gets a new one.
 *
 * With `prune`, what a list of the document does not name is removed. Throws INVALID_ARGUMENT for a fault of the document.
 */
export function planOf(
  current: Bundle | undefined,
  document: PolicyDocument,
  { prune, nowMs }: { readonly prune: boolean; readonly nowMs: number }
): Plan {
  const [fault] = documentFaults(document)
  if (fault !== undefined) {
    const { section, index, text, hint } = fault
    throw new WarrenError(ErrorCode.InvalidArgument, `${SUBJECTS[section]} ${index + 1} of the document: ${text}`, {
      hint
    })
  }
  const version = nextVersion(current)
  const changes: Change[] = []
  const merge = <T extends { readonly id: string }, N>(
    section: Section,
    wanted: readonly N[] | undefined,
    how: How<T, N>
  ) => {
    if (wanted === undefined) return undefined
    const subject = SUBJECTS[section]
    const present: readonly T[] = how.present
    let serial = 0
    let differs = false
    const note = (kind: Change['kind'], id: string, text: string, difference = ''): void => {
      changes.push({ kind, subject, id, text, difference })
      differs ||= kind !== 'kept' && kind !== 'ended'
    }
    const merged: T[] = []
    const named = new Set<T>()
    for (const item of wanted) {
      const former = present.find(one => how.isSame(one, item))
      if (former !== undefined) named.add(former)
      if (how.hasEnded?.(item) === true) {
        if (former !== undefined) note('remove', former.id, how.text(former))
        note('ended', '', how.text(item))
        continue
      }
      const difference = former === undefined ? '' : how.difference(former, item)
      if (former !== undefined && difference === '') {
        merged.push(former)
        continue
      }
      serial += 1
      merged.push(how.make(item, `${how.prefix}${version}-${serial}`))
      note(former === undefined ? 'add' : 'change', former?.id ?? '', how.text(item), difference)
    }
    const others = present.filter(one => !named.has(one))
    for (const one of others) note(prune ? 'remove' : 'kept', one.id, how.text(one))
    return differs ? [...(prune ? [] : others), ...merged] : undefined
  }
  const rules = merge<Rule, NewRule>('rules', document.rules, {
    present: current?.rules ?? [],
    prefix: 'r',
    isSame: coversSame,
    hasEnded: ({ untilMs }) => untilMs !== 0 && untilMs <= nowMs,
    difference: ruleDifference,
    make: (rule, id) => ({ ...rule, id, createdAtMs: nowMs }),
    text: ({ effect, source, destination, protocols }) => pairText(effect, { source, destination, protocols })
  })
  const entries = merge<Entry, NewEntry>('entries', document.entries, {
    present: current?.entries ?? [],
    prefix: 'e',
    isSame: selectsSame,
    difference: (a, b) =>
      differenceOf(a, b, ['maxConnects', 'maxRateBytes', 'gateways', 'dnsNames', 'owner', 'reason']),
    make: (entry, id) => ({ ...entry, id, createdAtMs: nowMs }),
    text: entryText
  })
  const invariants = merge<Invariant, NewInvariant>('invariants', document.invariants, {
    present: current?.invariants ?? [],
    prefix: 'i',
    isSame: coversSame,
    difference: (a, b) => differenceOf(a, b, ['owner', 'reason']),
    make: (invariant, id) => ({ ...invariant, id, createdAtMs: nowMs }),
    text: invariant => pairText('never', invariant)
  })
  const { strict } = document
  const isStrict = current?.strict ?? false
  const turns = strict !== undefined && strict !== isStrict
  if (turns)
    changes.push({
      kind: 'change',
      subject: 'strict',
      id: '',
      text: strict ? 'strict on' : 'strict off',
      difference: ''
    })
  return {
    content: {
      ...(rules === undefined ? {} : { rules }),
      ...(entries === undefined ? {} : { entries }),
      ...(invariants === undefined ? {} : { invariants }),
      ...(turns ? { strict } : {})
    },
    changes
  }
}

interface How<T, N> {
  readonly present: readonly T[]
  readonly prefix: string
  readonly isSame: (present: T, wanted: N) => boolean
  readonly hasEnded?: (wanted: N) => boolean
  /** Empty if nothing differs. */
  readonly difference: (present: T, wanted: N) => string
  readonly make: (wanted: N, id: string) => T
  readonly text: (item: T | N) => string
}

const SUBJECTS = { rules: 'rule', entries: 'entry', invariants: 'invariant' } as const

function ruleDifference(a: Rule, b: NewRule): string {
  const fields = ['effect', 'maxConnects', 'maxRateBytes', 'owner', 'reason'] as const
  const dates = (['notBeforeMs', 'untilMs'] as const).map(name =>
    a[name] === b[name] ? '' : `${LABELS[name]} ${dateText(a[name])} → ${dateText(b[name])}`
  )
  return [differenceOf(a, b, fields), ...dates].filter(text => text !== '').join(', ')
}

const LABELS: Readonly<Record<string, string>> = {
  maxConnects: 'max-connects',
  maxRateBytes: 'max-rate',
  notBeforeMs: 'not-before',
  untilMs: 'until'
}

function dateText(ms: number): string {
  return ms === 0 ? 'none' : new Date(ms).toISOString()
}

function differenceOf<K extends string>(
  a: { readonly [P in K]?: unknown },
  b: { readonly [P in K]?: unknown },
  names: readonly K[]
): string {
  const shown = (value: unknown): string => (value === undefined || value === '' ? 'none' : String(value))
  return names
    .filter(name => shown(a[name]) !== shown(b[name]))
    .map(name => `${LABELS[name] ?? name} ${shown(a[name])} → ${shown(b[name])}`)
    .join(', ')
}

export function pairText(
  word: string,
  { source, destination, protocols }: Pick<Rule, 'source' | 'destination' | 'protocols'>
): string {
  return `${word} ${source.text} -> ${destination.text}${protocols.length === 0 ? '' : ` (${protocols.join(', ')})`}`
}

export function entryText(entry: NewEntry): string {
  const named = SELECTORS.filter(name => entry[name] !== undefined).map(name => `${name}=${entry[name]}`)
  return `grant ${entry.grants.text} to ${named.join(' ')}${entry.machine === undefined ? '' : ` on ${entry.machine}`}`
}

function pairKey({ source, destination, protocols }: Pick<Rule, 'source' | 'destination' | 'protocols'>): string {
  return [source.text, destination.text, ...protocols.toSorted()].join('\n')
}

function entryKey(entry: NewEntry): string {
  return [entry.machine, entry.grants.text, ...SELECTORS.map(name => entry[name])].join('\n')
}

function lengthFault({ reason, owner = '' }: { readonly reason: string; readonly owner?: string | undefined }) {
  if (reason.length > MAX_REASON_LENGTH)
    return { text: `the reason is longer than ${MAX_REASON_LENGTH} characters`, hint: 'Shorten it.' }
  if (owner.length > MAX_OWNER_LENGTH)
    return { text: `the owner is longer than ${MAX_OWNER_LENGTH} characters`, hint: 'Shorten it.' }
  return undefined
}

function repeated(before: number) {
  return { text: `it is the same as number ${before + 1} of the list`, hint: 'Remove one of them.' }
}
