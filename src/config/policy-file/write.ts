import { stringify } from 'yaml'
import type { Protocol } from '../../core/index.ts'
import { type adminPb, apiPb } from '../../wire/index.ts'
import { formatDate } from './date.ts'

/** What a policy file can state of a policy. */
export type Exported = Pick<adminPb.GetPolicyResponse, 'rules' | 'entries' | 'invariants' | 'strict'>

/** The policy as the data of a file. */
export function policyFileData({ rules, entries, invariants, strict }: Exported) {
  return {
    strict,
    rules: rules.map(rule => ({
      [rule.effect]: rule.source,
      to: rule.destination,
      ...protocolsOf(rule.protocols),
      ...dateOf('not-before', rule.notBeforeMs),
      ...dateOf('until', rule.untilMs),
      ...limitsOf(rule),
      ...peopleOf(rule)
    })),
    entries: entries.map(entry => ({
      grant: entry.grants,
      ...named({
        machine: entry.machine,
        uid: entry.uid,
        user: entry.user,
        gid: entry.gid,
        group: entry.group,
        exe: entry.exePath,
        sha256: entry.exeSha256,
        unit: entry.systemdUnit,
        cgroup: entry.cgroup,
        runtime: entry.containerRuntime,
        container: entry.containerName,
        image: entry.containerImage,
        pod: entry.containerPod,
        'service-account': entry.containerServiceAccount,
        'container-user': entry.containerUser,
        selinux: entry.selinux,
        apparmor: entry.apparmor
      }),
      ...(entry.gateways.length === 0 ? {} : { gateways: entry.gateways }),
      ...(entry.dnsNames.length === 0 ? {} : { 'dns-names': entry.dnsNames }),
      ...limitsOf(entry),
      ...peopleOf(entry)
    })),
    invariants: invariants.map(invariant => ({
      never: invariant.source,
      to: invariant.destination,
      ...protocolsOf(invariant.protocols),
      ...peopleOf(invariant)
    }))
  }
}

/** The policy as a file: what `parsePolicyFile` reads as the same policy. */
export function formatPolicyFile(policy: Exported): string {
  return stringify(policyFileData(policy), { lineWidth: 0 })
}

/** A rule as `formatRules` writes it. */
export interface FileRule {
  readonly effect: 'allow'
  readonly source: string
  readonly destination: string
  readonly protocols: readonly Protocol[]
  readonly reason: string
}

/** A file that has nothing but these rules: to apply it touches no other rule, no entry and no invariant. */
export function formatRules(rules: readonly FileRule[]): string {
  const items = rules.map(({ effect, source, destination, protocols, reason }) => ({
    [effect]: source,
    to: destination,
    ...(protocols.length === 1 && { protocols }),
    ...named({ reason })
  }))
  return stringify({ rules: items }, { lineWidth: 0 })
}

function protocolsOf(protocols: readonly apiPb.Protocol[]) {
  if (protocols.length === 0) return {}
  return { protocols: protocols.map(protocol => (protocol === apiPb.Protocol.UDP ? 'udp' : 'tcp')) }
}

function dateOf(name: string, ms: bigint) {
  return ms === 0n ? {} : { [name]: formatDate(Number(ms)) }
}

function limitsOf({ maxConnects, maxRate }: { readonly maxConnects: number; readonly maxRate: number }) {
  return { ...(maxConnects > 0 && { 'max-connects': maxConnects }), ...(maxRate > 0 && { 'max-rate': maxRate }) }
}

function peopleOf({ owner, reason }: { readonly owner: string; readonly reason: string }) {
  return named({ owner, reason })
}

function named(values: Readonly<Record<string, string | number | undefined>>) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== ''))
}
