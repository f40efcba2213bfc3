import type { adminPb } from '../../wire/index.ts'
import { byColumns } from './by-column.ts'
import { limitsColumn } from './limits-column.ts'
import { ownerColumn } from './owner-column.ts'
import { printable } from './printable.ts'
import { formatWhen } from './quantities.ts'
import { type Column, table } from './table.ts'
import { fields, protocolName } from './views.ts'

export type AuthorityView = Omit<adminPb.Authority, '$typeName' | '$unknown'>
export type EntryView = Omit<adminPb.Entry, '$typeName' | '$unknown' | 'narrowGrants' | 'kubernetesGrants'>
export type RevocationView = Omit<adminPb.Revocation, '$typeName' | '$unknown'>

export type InvariantView = Omit<adminPb.Invariant, '$typeName' | '$unknown' | 'protocols'> & { protocols: string[] }

/** Shown wherever the policy is, for as long as it is lost. */
export const LOST_POLICY =
  'the policy of this host is lost: nothing is allowed and nothing can be changed before a member admitted earlier connects (`warren policy restart --help`)'

export function entryView(entry: adminPb.Entry): EntryView {
  const { narrowGrants: _ofRequests, kubernetesGrants: _alsoOfRequests, ...view } = fields(entry)
  return view
}

export function revocationView(revocation: adminPb.Revocation): RevocationView {
  return fields(revocation)
}

export function invariantView(invariant: adminPb.Invariant): InvariantView {
  return { ...fields(invariant), protocols: invariant.protocols.map(protocolName) }
}

export function invariantTable(invariants: readonly InvariantView[]): string {
  const columns: Column<InvariantView>[] = [
    { title: 'INVARIANT', value: invariant => invariant.id },
    { title: 'NEVER', value: invariant => invariant.source },
    { title: 'TO', value: invariant => invariant.destination },
    { title: 'PROTOCOLS', value: invariant => invariant.protocols.join(',') || 'all', rank: 1 },
    ...ownerColumn(invariants),
    ...byColumns(invariants, Date.now()),
    { title: 'REASON', value: invariant => invariant.reason || '-' }
  ]
  return table(columns, invariants)
}

export function authorityView(authority: adminPb.Authority): AuthorityView {
  return fields(authority)
}

export function authorityTable(authorities: readonly AuthorityView[], nowMs: number): string {
  const columns: Column<AuthorityView>[] = [
    { title: 'AUTHORITY', value: authority => authority.machine },
    { title: 'STATE', value: authority => authority.state },
    {
      title: 'CERTIFIED',
      value: ({ notAfterMs, problem }) =>
        notAfterMs === 0n ? problem || 'none' : formatWhen(Number(notAfterMs), nowMs)
    },
    { title: 'ROOT KEY', value: authority => (authority.rootKey ? 'here' : '-'), rank: 1 }
  ]
  return table(columns, authorities)
}

export function entryTable(entries: readonly EntryView[]): string {
  const columns: Column<EntryView>[] = [
    { title: 'ENTRY', value: entry => entry.id },
    { title: 'GRANTS', value: entry => entry.grants },
    { title: 'MACHINE', value: entry => entry.machine || 'any' },
    { title: 'TO PROCESSES OF', value: selectors },
    ...listColumn(entries, 'GATEWAY TO', ({ gateways }) => gateways),
    ...listColumn(entries, 'DNS NAMES', ({ dnsNames }) => dnsNames),
    ...limitsColumn(entries),
    ...ownerColumn(entries),
    ...byColumns(entries, Date.now()),
    { title: 'REASON', value: entry => entry.reason || '-' }
  ]
  return table(columns, entries)
}

/** Only where an entry has such names. */
function listColumn(
  entries: readonly EntryView[],
  title: string,
  of: (entry: EntryView) => readonly string[]
): Column<EntryView>[] {
  if (entries.every(entry => of(entry).length === 0)) return []
  return [{ title, value: entry => of(entry).join(' ') || '-' }]
}

export function revocationTable(revocations: readonly RevocationView[], nowMs: number): string {
  const columns: Column<RevocationView>[] = [
    { title: 'REVOCATION', value: revocation => revocation.id },
    { title: 'OF', value: subject },
    { title: 'AT', value: revocation => formatWhen(Number(revocation.createdAtMs), nowMs), rank: 1 },
    ...byColumns(revocations, nowMs).slice(0, 1),
    { title: 'REASON', value: revocation => revocation.reason || '-' }
  ]
  return table(columns, revocations)
}

export type AdminView = Omit<adminPb.Admin, '$typeName' | '$unknown'>

export function adminView(admin: adminPb.Admin): AdminView {
  return fields(admin)
}

export function adminTable(admins: readonly AdminView[], nowMs: number): string {
  const columns: Column<AdminView>[] = [
    { title: 'ADMIN', value: ({ name, here }) => (here ? `${name} (this host)` : name) },
    { title: 'ROLE', value: ({ role, removedBy }) => (removedBy === '' ? role : 'removed') },
    { title: 'SCOPES', value: ({ role, scopes }) => (role === 'admin' ? scopes.join(',') : 'all') },
    { title: 'VERSION', value: ({ version }) => (version === 0n ? '-' : String(version)), align: 'right', rank: 2 },
    { title: 'STATEMENTS', value: ({ statements }) => String(statements), align: 'right', rank: 1 },
    { title: 'ADDED BY', value: ({ addedBy }) => addedBy || '-', rank: 4 },
    { title: 'SINCE', value: ({ addedAtMs }) => formatWhen(Number(addedAtMs), nowMs), rank: 3 },
    {
      title: 'REASON',
      value: ({ reason, removedBy, removalReason }) =>
        removedBy === '' ? reason || '-' : `removed by ${removedBy}${removalReason === '' ? '' : `: ${removalReason}`}`
    },
    { title: 'KEY', value: ({ key }) => key, wide: true }
  ]
  return table(columns, admins)
}

export interface RootView {
  readonly version: number
  readonly roots: ReadonlyArray<Omit<adminPb.Root, '$typeName' | '$unknown'>>
  readonly behind: ReadonlyArray<Omit<adminPb.Laggard, '$typeName' | '$unknown'>>
}

export function rootView(status: adminPb.RootStatus | undefined): RootView {
  const { version = 0n, roots = [], behind = [] } = status ?? {}
  return { version: Number(version), roots: roots.map(root => fields(root)), behind: behind.map(host => fields(host)) }
}

export function rootTable({ version, roots, behind }: RootView, nowMs: number): string {
  const last = roots.length - 1
  const columns: Column<RootView['roots'][number]>[] = [
    { title: 'ROOT', value: root => root.sha256.slice(0, 16) },
    { title: 'IS', value: root => (last === 0 ? 'trusted' : root === roots[last] ? 'new' : 'old') },
    { title: 'CERTIFIED', value: root => formatWhen(Number(root.notAfterMs), nowMs) },
    { title: 'KEY', value: root => (root.keyHere ? 'here' : '-') }
  ]
  const lines = [table(columns, roots), `trust bundle version ${version}`]
  if (last > 0 && behind.length === 0) lines.push('every host is below the new root')
  lines.push(...behind.map(({ machine, reason }) => `behind: ${printable(machine)}: ${printable(reason)}`))
  return lines.join('\n')
}

function selectors(entry: EntryView): string {
  const named: Array<readonly [string, string | number | undefined]> = [
    ['uid', entry.uid],
    ['user', entry.user],
    ['gid', entry.gid],
    ['group', entry.group],
    ['exe', entry.exePath],
    ['sha256', entry.exeSha256],
    ['unit', entry.systemdUnit],
    ['cgroup', entry.cgroup],
    ['runtime', entry.containerRuntime],
    ['container', entry.containerName],
    ['image', entry.containerImage],
    ['pod', entry.containerPod],
    ['service-account', entry.containerServiceAccount],
    ['container-user', entry.containerUser],
    ['selinux', entry.selinux],
    ['apparmor', entry.apparmor]
  ]
  return named
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
}

function subject({ machine, pattern, peerIds, keySha256 }: RevocationView): string {
  if (machine !== '') return `host ${machine}`
  return [pattern, ...peerIds, ...keySha256.map(key => `sha256:${key}`)].filter(text => text !== '').join(' ')
}
