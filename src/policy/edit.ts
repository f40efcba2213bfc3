import { ErrorCode, WarrenError } from '../core/index.ts'
import type { Pattern, PeerKey, Revocation } from '../identity/index.ts'
import type { Bundle, Content } from './bundle.ts'
import { MAX_REASON_LENGTH } from './codec.ts'
import type { Entry } from './entry.ts'
import { faultOf } from './entry-codec.ts'
import { coversSame, type Rule } from './rule.ts'
import { SELECTORS } from './selectors.ts'
import { isLimited } from './usage-limits.ts'

export type NewRule = Omit<Rule, 'id' | 'createdAtMs'>

/**
 * The rules after adding one, and the rule as added.
 *
 * The last rule for a pair counts: a rule for exactly the same patterns and protocols is replaced, whatever its
 * effect, so that `allow` after `deny` allows again. The id comes from the next version and so is never reused.
 */
export function addRule(current: Bundle | undefined, rule: NewRule, nowMs: number): { rules: Rule[]; added: Rule } {
  checkReason(rule.reason)
  const { text, hint } = ruleFault(rule, nowMs) ?? {}
  if (text !== undefined) throw new WarrenError(ErrorCode.InvalidArgument, text, { ...(hint && { hint }) })
  const added: Rule = { ...rule, id: `r${nextVersion(current)}`, createdAtMs: nowMs }
  const kept = (current?.rules ?? []).filter(existing => !coversSame(existing, rule))
  return { rules: [...kept, added], added }
}

/** What makes a rule impossible at `nowMs`, and what to do about it. @default whenever it is */
export function ruleFault(rule: NewRule, nowMs = 0): { readonly text: string; readonly hint: string } | undefined {
  if (rule.untilMs !== 0 && rule.untilMs <= Math.max(nowMs, rule.notBeforeMs)) {
    return {
      text: 'the rule would end before it begins',
      hint: 'Give it an end (until) in the future and after its begin.'
    }
  }
  if (rule.effect === 'allow' || !isLimited(rule)) return undefined
  const what = rule.effect === 'deny' ? 'forbids connections' : 'audits'
  return { text: `a rule that ${what} has no limits`, hint: 'Give --max-connects and --max-rate to an allow rule.' }
}

/** The rules without the one of this id. Throws NOT_FOUND. */
export function removeRule(current: Bundle | undefined, id: string): Rule[] {
  return without(current?.rules, id, 'rule', '`warren policy show` lists the rules.')
}

export type NewEntry = Omit<Entry, 'id' | 'createdAtMs'>

/** The entries after adding one; one that is the same in all but its reason and limits is replaced. Throws INVALID_ARGUMENT. */
export function addEntry(
  current: Bundle | undefined,
  entry: NewEntry,
  nowMs: number
): { entries: Entry[]; added: Entry } {
  checkReason(entry.reason)
  const fault = faultOf(entry)
  if (fault !== undefined) {
    throw new WarrenError(ErrorCode.InvalidArgument, `the entry ${fault}`, {
      hint: 'As in: warren entry add --user www-data dev.web.nginx.default'
    })
  }
  const added: Entry = { ...entry, id: `e${nextVersion(current)}`, createdAtMs: nowMs }
  const kept = (current?.entries ?? []).filter(existing => !selectsSame(existing, entry))
  return { entries: [...kept, added], added }
}

/** The entry that a new one for these addresses and all processes of this user of a machine would replace. */
export function entryOfUser(
  entries: readonly Entry[],
  { machine, uid, grants }: { readonly machine: string; readonly uid: number; readonly grants: string }
): Entry | undefined {
  return entries.find(
    entry =>
      entry.machine === machine &&
      entry.grants.text === grants &&
      SELECTORS.every(selector => entry[selector] === (selector === 'uid' ? uid : undefined))
  )
}

/** The entries without the one of this id. Throws NOT_FOUND. */
export function removeEntry(current: Bundle | undefined, id: string): Entry[] {
  return without(current?.entries, id, 'entry', '`warren entry list` lists the entries.')
}

/** The hosts, keys or addresses to revoke. */
export interface NewRevocation {
  readonly machine?: string
  readonly peers?: readonly PeerKey[]
  readonly keys?: readonly string[]
  readonly pattern?: Pattern
  readonly reason: string
  /** As of now, even if all of it is revoked already: for a host that may have joined again without being seen here. */
  readonly again?: boolean
}

/**
 * The revocations after adding one. A machine is refused as of now: whoever is admitted under its name later is another
 * host. An existing revocation stays as it is, so that a repeated command changes nothing.
 */
export function addRevocation(
  current: Bundle | undefined,
  revocation: NewRevocation,
  nowMs: number
): { revocations: readonly Revocation[]; added: Revocation } {
  const { machine, pattern, reason, again = false } = revocation
  checkReason(reason)
  const all = current?.revocations ?? []
  const former = all.find(existing => coversAll(existing, revocation))
  if (former !== undefined && !again) return { revocations: all, added: former }
  const { peers = [], keys = [] } = former ?? revocation
  const added: Revocation = {
    id: `x${nextVersion(current)}`,
    machine,
    // Certificates have whole seconds; rounded up, this would refuse a host that joins again within the same second.
    beforeMs: machine === undefined ? 0 : Math.floor(nowMs / 1_000) * 1_000,
    peers,
    keys,
    pattern,
    reason,
    createdAtMs: nowMs
  }
  return { revocations: [...all.filter(existing => existing !== former), added], added }
}

/** The revocations without the one of this id. Throws NOT_FOUND. */
export function removeRevocation(current: Bundle | undefined, id: string): Revocation[] {
  return without(current?.revocations, id, 'revocation', '`warren policy show` lists the revocations.')
}

export function nextVersion(current: Bundle | undefined): bigint {
  return (current?.version ?? 0n) + 1n
}

function checkReason(reason: string): void {
  if (reason.length <= MAX_REASON_LENGTH) return
  throw new WarrenError(ErrorCode.InvalidArgument, `the reason is longer than ${MAX_REASON_LENGTH} characters`)
}

function without<T extends Content['rules' | 'entries' | 'revocations'][number]>(
  list: readonly T[] = [],
  id: string,
  what: string,
  hint: string
): T[] {
  const kept = list.filter(item => item.id !== id)
  if (kept.length === list.length) {
    throw new WarrenError(ErrorCode.NotFound, `the policy has no ${what} "${id.slice(0, 64)}"`, { hint })
  }
  return kept
}

// A machine is compared with each key that it has now: a host that has joined again has others.
function coversAll(existing: Revocation, { machine, peers = [], keys = [], pattern }: NewRevocation): boolean {
  if (existing.machine !== machine || existing.pattern?.text !== pattern?.text) return false
  return peers.every(peer => existing.peers.includes(peer)) && keys.every(key => existing.keys.includes(key))
}

export function selectsSame(a: NewEntry, b: NewEntry): boolean {
  return (
    a.machine === b.machine &&
    a.grants.text === b.grants.text &&
    SELECTORS.every(selector => a[selector] === b[selector])
  )
}
