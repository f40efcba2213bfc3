import type { ProcessFacts } from '../attest/index.ts'
import { coversDnsName } from '../core/index.ts'
import { type Address, formatAddress, matches, type Pattern } from '../identity/index.ts'
import { differenceIn, namesContainer, optionsLike, READ_LATE, type Selector, unmet } from './selectors.ts'
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
  /** As its runtime says, in its own files. */
  readonly containerRuntime?: string | undefined
  readonly containerName?: string | undefined
  /** "sha256:" and hex. */
  readonly containerImage?: string | undefined
  /** Name or id. */
  readonly containerPod?: string | undefined
  /** "NAMESPACE/NAME", of its pod of Kubernetes. */
  readonly containerServiceAccount?: string | undefined
  /** The user, by name or number, whose runtime it is. @default root, if the entry names a container */
  readonly containerUser?: string | undefined
  /** Label that SELinux enforces, or its beginning up to a colon. */
  readonly selinux?: string | undefined
  /** Profile that AppArmor enforces. */
  readonly apparmor?: string | undefined
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
  return lacksOnly(entries, address, facts, ['exePath', 'exeSha256'])
}

/** Whether an entry would grant `address` if only the container, and the executable, matched. */
export function wantsContainer(entries: readonly Entry[], address: Address, facts: ProcessFacts): boolean {
  const ofContainer = entries.filter(namesContainer)
  return facts.container === undefined && lacksOnly(ofContainer, address, facts, READ_LATE)
}

/** Whether facts that are read only when an entry asks for them could make an entry grant `address`. */
export function wantsMore(entries: readonly Entry[], address: Address, facts: ProcessFacts): boolean {
  return wantsContainer(entries, address, facts) || wantsExecutable(entries, address, facts)
}

function lacksOnly(
  entries: readonly Entry[],
  address: Address,
  facts: ProcessFacts,
  selectors: readonly Selector[]
): boolean {
  return candidates(entries, address).some(entry => {
    const lacking = unmet(entry, facts)
    return lacking.length > 0 && lacking.every(selector => selectors.includes(selector))
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
  const differences = lacking.map(selector => differenceIn(entry, facts, selector))
  return `entry ${entry.id} does not grant ${formatAddress(address)} to this process: ${differences.join('; ')}`
}

/**
 * Options of `warren entry add` that name, with this process's own values, what the nearest entry names of a process besides its
 * user: a new entry is to be no wider than the one that did not fit. Empty if there is none, or a value is not known.
 */
export function narrowingOptions(entries: readonly Entry[], address: Address, facts: ProcessFacts): string {
  const entry = nearestEntry(entries, address, facts)?.entry
  return optionsLike(entry, facts)
}

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
