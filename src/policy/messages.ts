import { dnsNamePattern, ErrorCode, gatewayName, type Protocol, WarrenError } from '../core/index.ts'
import { parsePattern, type Revocation } from '../identity/index.ts'
import { type adminPb, apiPb } from '../wire/index.ts'
import { containerSelectors } from './container-codec.ts'
import type { NewEntry, NewRule } from './edit.ts'
import type { NewInvariant, PolicyDocument } from './plan.ts'
import type { RuleEffect } from './rule.ts'
import { limitsOf } from './usage-limits.ts'

// What the local API and files of policies carry, as the policy knows it. All of them throw INVALID_ARGUMENT.

const EFFECTS: readonly RuleEffect[] = ['allow', 'deny', 'audit']

type Fields<T> = Omit<T, '$typeName' | '$unknown'>

export function ruleFrom(rule: Fields<adminPb.Rule>): NewRule {
  const effect = EFFECTS.find(name => name === rule.effect)
  if (effect === undefined) {
    throw new WarrenError(ErrorCode.InvalidArgument, 'a rule has the effect "allow", "deny" or "audit"')
  }
  return {
    effect,
    source: parsePattern(rule.source),
    destination: parsePattern(rule.destination),
    protocols: rule.protocols.map(protocolFrom),
    notBeforeMs: Number(rule.notBeforeMs),
    untilMs: Number(rule.untilMs),
    reason: rule.reason,
    ...ownerFrom(rule),
    ...limitsOf(rule)
  }
}

export function entryFrom(entry: Fields<adminPb.Entry>): NewEntry {
  const optional = (text: string): string | undefined => (text === '' ? undefined : text)
  return {
    machine: optional(entry.machine),
    uid: entry.uid,
    user: optional(entry.user),
    gid: entry.gid,
    group: optional(entry.group),
    exePath: optional(entry.exePath),
    exeSha256: optional(entry.exeSha256.toLowerCase()),
    systemdUnit: optional(entry.systemdUnit),
    cgroup: optional(entry.cgroup),
    ...containerSelectors(entry),
    grants: parsePattern(entry.grants || entry.narrowGrants || entry.kubernetesGrants),
    reason: entry.reason,
    ...ownerFrom(entry),
    ...(entry.gateways.length === 0 ? {} : { gateways: entry.gateways.map(gatewayName) }),
    ...(entry.dnsNames.length === 0 ? {} : { dnsNames: entry.dnsNames.map(dnsNamePattern) }),
    ...limitsOf(entry)
  }
}

export function invariantFrom(invariant: Fields<adminPb.Invariant>): NewInvariant {
  return {
    source: parsePattern(invariant.source),
    destination: parsePattern(invariant.destination),
    protocols: invariant.protocols.map(protocolFrom),
    reason: invariant.reason,
    ...ownerFrom(invariant)
  }
}

export function documentFrom({ rules, entries, invariants, strict }: adminPb.PolicyDocument): PolicyDocument {
  return {
    ...(rules === undefined ? {} : { rules: rules.rules.map(ruleFrom) }),
    ...(entries === undefined ? {} : { entries: entries.entries.map(entryFrom) }),
    ...(invariants === undefined ? {} : { invariants: invariants.invariants.map(invariantFrom) }),
    ...(strict === undefined ? {} : { strict })
  }
}

/** A revocation as it decides about addresses. The keys that it may name as well are not in the message. */
export function revocationFrom(revocation: Fields<adminPb.Revocation>): Revocation {
  const { id, machine, beforeMs, pattern, reason, createdAtMs } = revocation
  return {
    id,
    machine: machine === '' ? undefined : machine,
    beforeMs: Number(beforeMs),
    peers: [],
    keys: [],
    pattern: pattern === '' ? undefined : parsePattern(pattern),
    reason,
    createdAtMs: Number(createdAtMs)
  }
}

function ownerFrom({ owner }: { readonly owner: string }): { readonly owner?: string } {
  return owner === '' ? {} : { owner }
}

function protocolFrom(protocol: apiPb.Protocol): Protocol {
  if (protocol === apiPb.Protocol.TCP) return 'tcp'
  if (protocol === apiPb.Protocol.UDP) return 'udp'
  throw new WarrenError(ErrorCode.InvalidArgument, 'a rule has an unknown protocol')
}
