import type { ProcessFacts } from '../attest/index.ts'
import { coversDnsName } from '../core/index.ts'
import { type Address, formatAddress, matches, type Pattern } from '../identity/index.ts'
import { isLimited, type UsageLimits } from './usage-limits.ts'

/**
 * Grants addresses to the processes that match all its selectors. It has at least one selector besides the machine. Its limits
 * are those of each registration that it grants.
 */
export interface Entry extends UsageLimits {
  /** Unique in the bundle and never given to another entry. */
  readonly id: string
  readonly machine: string | undefined
  readonly uid: number | undefined
  /** Name of a user in the host's own user database. */
  readonly user: string | undefined
  /** Primary or supplementary. */
  readonly gid: number | undefined
  readonly group: string | undefined
  /** Absolute path of the executable. */
  readonly exePath: string | undefined
  /** Hex. */
  readonly exeSha256: string | undefined
  readonly systemdUnit: string | undefined
  /** Path of a cgroup (version 2); covers what is below it. */
  readonly cgroup: string | undefined
  readonly grants: Pattern
  readonly reason: string
  /** Who answers for it, for people. @default nobody is named */
  readonly owner?: string | undefined
  /** HOST:PORT, in lower case: servers of other hosts for which its registrations may stand. @default none */
  readonly gateways?: readonly string[] | undefined
  /** Names that its certificates may have, in lower case; `*.` stands for one label. @default none */
  readonly dnsNames?: readonly string[] | undefined
  readonly createdAtMs: number
  /** Name of the admin whose set states it. @default the root of policy */
  readonly by?: string
}

/** Those of the entries that let a registration stand for the server of another host, HOST:PORT in lower case. */
export function gatewayEntries(entries: readonly Entry[], server: string): Entry[] {
  return entries.filter(({ gateways }) => gateways?.includes(server) === true)
}

/** Those of the entries that let the certificates of a registration have all these names. */
export function namingEntries(entries: readonly Entry[], names: readonly string[]): Entry[] {
  return entries.filter(({ dnsNames = [] }) => names.every(name => dnsNames.some(one => coversDnsName(one, name))))
}

/** Names of the selectors, in the order in which they are shown. */
export const SELECTORS = ['uid', 'user', 'gid', 'group', 'exePath', 'exeSha256', 'systemdUnit', 'cgroup'] as const
export type Selector = (typeof SELECTORS)[number]

/** The first entry that grants `address` to a process with these facts. */
export function grantingEntry(entries: readonly Entry[], address: Address, facts: ProcessFacts): Entry | undefined {
  return candidates(entries, address).find(entry => unmet(entry, facts).length === 0)
}

/** The limited entries among those that grant `address` to a process with these facts. All of their limits hold. */
export function limitingEntries(entries: readonly Entry[], address: Address, facts: ProcessFacts): Entry[] {
  return candidates(entries.filter(isLimited), address).filter(entry => unmet(entry, facts).length === 0)
}

/** Whether an entry would grant `address` if only the executable, its path or its hash, matched. */
export function wantsExecutable(entries: readonly Entry[], address: Address, facts: ProcessFacts): boolean {
  return candidates(entries, address).some(entry => {
    const lacking = unmet(entry, facts)
    return lacking.length > 0 && lacking.every(selector => selector === 'exePath' || selector === 'exeSha256')
  })
}

/** Whether an entry would grant `address` if only the hash of the executable matched. */
export function wantsHash(entries: readonly Entry[], address: Address, facts: ProcessFacts): boolean {
  return (
    facts.exeSha256 === undefined &&
    candidates(entries, address).some(entry => unmet(entry, facts).join() === 'exeSha256')
  )
}

/** The reason why no entry grants `address`: the unmatched selectors of the nearest entry, in one clause for people. */
export function whyNotGranted(entries: readonly Entry[], address: Address, facts: ProcessFacts): string {
  const nearest = nearestEntry(entries, address, facts)
  if (nearest === undefined) return `no entry grants ${formatAddress(address)} to uid ${facts.uid}`
  const { entry, lacking } = nearest
  const differences = lacking.map(
    selector => `its ${LABELS[selector]} is ${shown(facts, selector)}, and the entry asks for ${entry[selector]}`
  )
  return `entry ${entry.id} does not grant ${formatAddress(address)} to this process: ${differences.join('; ')}`
}

/**
 * Options of `warren entry add` that name, with this process's own values, what the nearest entry names of a process besides its
 * user: a new entry is to be no wider than the one that did not fit. Empty if there is none, or a value is not known.
 */
export function narrowingOptions(entries: readonly Entry[], address: Address, facts: ProcessFacts): string {
  const entry = nearestEntry(entries, address, facts)?.entry
  return NARROWING.flatMap(([selector, option]) => {
    const value = facts[selector]
    return entry?.[selector] === undefined || value === undefined ? [] : [` ${option} ${value}`]
  }).join('')
}

const NARROWING = [
  ['cgroup', '--cgroup'],
  ['systemdUnit', '--unit'],
  ['exePath', '--exe'],
  ['exeSha256', '--sha256']
] as const

function nearestEntry(entries: readonly Entry[], address: Address, facts: ProcessFacts) {
  const [nearest] = candidates(entries, address)
    .map(entry => ({ entry, lacking: unmet(entry, facts) }))
    .sort((a, b) => a.lacking.length - b.lacking.length)
  return nearest
}

/** The entries that grant `address` to some process. */
export function entriesFor(entries: readonly Entry[], address: Address): Entry[] {
  return candidates(entries, address)
}

function candidates(entries: readonly Entry[], address: Address): Entry[] {
  return entries.filter(
    ({ machine, grants }) => (machine === undefined || machine === address.machine) && matches(grants, address)
  )
}

function unmet(entry: Entry, facts: ProcessFacts): Selector[] {
  return SELECTORS.filter(selector => entry[selector] !== undefined && !isMet(entry, facts, selector))
}

function isMet(entry: Entry, facts: ProcessFacts, selector: Selector): boolean {
  switch (selector) {
    case 'user':
      return entry.user !== undefined && facts.users.includes(entry.user)
    case 'gid':
      return entry.gid !== undefined && facts.gids.includes(entry.gid)
    case 'group':
      return entry.group !== undefined && facts.groups.includes(entry.group)
    case 'cgroup':
      return facts.cgroup === entry.cgroup || facts.cgroup?.startsWith(`${entry.cgroup}/`) === true
    default:
      return facts[selector] === entry[selector]
  }
}

const LABELS: { readonly [S in Selector]: string } = {
  uid: 'uid',
  user: 'user',
  gid: 'gid',
  group: 'group',
  exePath: 'executable',
  exeSha256: 'hash of the executable',
  systemdUnit: 'systemd unit',
  cgroup: 'cgroup'
}

function shown(facts: ProcessFacts, selector: Selector): string {
  switch (selector) {
    case 'user':
      return facts.users.join(' or ') || 'without a name'
    case 'gid':
      return `one of ${facts.gids.join(', ')}`
    case 'group':
      return `one of ${facts.groups.join(', ')}`
    default:
      return String(facts[selector] ?? 'not established')
  }
}
