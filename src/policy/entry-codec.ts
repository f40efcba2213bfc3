import { dnsNamePattern, gatewayName } from '../core/index.ts'
import { isComponent, parsePattern } from '../identity/index.ts'
import { create, policyPb } from '../wire/index.ts'
import { checkIdAndReason, malformed, ownerOf } from './codec.ts'
import { containerFault, containerFields, containerSelectors } from './container-codec.ts'
import type { Entry } from './entry.ts'
import { SELECTORS } from './selectors.ts'
import { limitFields, limitsOf } from './usage-limits.ts'

/** Longest path, name or unit in an entry, in characters. */
export const MAX_SELECTOR_LENGTH = 1_024

/** Servers of other hosts that one entry names. */
export const MAX_GATEWAYS = 16

/** Names of certificates in one entry. */
export const MAX_DNS_NAMES = 16

/** Throws MESSAGE_MALFORMED. */
export function decodeEntry(entry: policyPb.Entry): Entry {
  checkIdAndReason('entry', entry)
  const { exeSha256, uid, gid } = entry
  if (exeSha256.length !== 0 && exeSha256.length !== 32) throw malformed(`entry ${entry.id} has no SHA-256`)
  const decoded: Entry = Object.freeze({
    id: entry.id,
    machine: optional(entry.machine),
    uid,
    user: optional(entry.user),
    gid,
    group: optional(entry.group),
    exePath: optional(entry.exePath),
    exeSha256: optional(Buffer.from(exeSha256).toString('hex')),
    systemdUnit: optional(entry.systemdUnit),
    cgroup: optional(entry.cgroup),
    ...containerSelectors(entry),
    grants: patternOf(entry),
    reason: entry.reason,
    ...ownerOf(entry),
    ...(entry.gateways.length === 0 ? {} : { gateways: Object.freeze(entry.gateways) }),
    ...(entry.dnsNames.length === 0 ? {} : { dnsNames: Object.freeze(entry.dnsNames) }),
    createdAtMs: Number(entry.createdAtMs),
    ...limitsOf(entry)
  })
  const fault = faultOf(decoded)
  if (fault !== undefined) throw malformed(`entry ${entry.id} ${fault}`)
  return decoded
}

export function encodeEntry(entry: Entry): policyPb.Entry {
  return create(policyPb.EntrySchema, {
    id: entry.id,
    machine: entry.machine ?? '',
    ...(entry.uid === undefined ? {} : { uid: entry.uid }),
    user: entry.user ?? '',
    ...(entry.gid === undefined ? {} : { gid: entry.gid }),
    group: entry.group ?? '',
    exePath: entry.exePath ?? '',
    exeSha256: Buffer.from(entry.exeSha256 ?? '', 'hex'),
    systemdUnit: entry.systemdUnit ?? '',
    cgroup: entry.cgroup ?? '',
    ...containerFields(entry),
    grants: entry.grants.text,
    reason: entry.reason,
    owner: entry.owner ?? '',
    gateways: [...(entry.gateways ?? [])],
    dnsNames: [...(entry.dnsNames ?? [])],
    createdAtMs: BigInt(entry.createdAtMs),
    ...limitFields(entry)
  })
}

/** The fault that makes an entry unusable, as the end of a sentence; undefined for a valid entry. */
export function faultOf(entry: Omit<Entry, 'id' | 'createdAtMs'>): string | undefined {
  // Without a selector, it would grant the addresses to every process on the host.
  if (SELECTORS.every(selector => entry[selector] === undefined)) return 'names no property of a process'
  if (entry.machine !== undefined && !isComponent(entry.machine)) return 'has an invalid machine name'
  if (entry.exeSha256 !== undefined && !/^[0-9a-f]{64}$/.test(entry.exeSha256)) return 'has no SHA-256 in hex'
  for (const [what, path] of [
    ['executable', entry.exePath],
    ['cgroup', entry.cgroup]
  ] as const) {
    if (path !== undefined && !isCleanPath(path))
      return `has a ${what} that is not an absolute path without "." and ".."`
  }
  if (entry.systemdUnit !== undefined && !/^[^/\s]+\.(service|scope)$/.test(entry.systemdUnit)) {
    return 'has a unit that is not named as in nginx.service'
  }
  const ofContainer = containerFault(entry)
  if (ofContainer !== undefined) return ofContainer
  const { gateways = [] } = entry
  if (gateways.length > MAX_GATEWAYS) return `names more than ${MAX_GATEWAYS} gateways`
  if (!gateways.every(isGateway))
    return 'has a gateway that is not HOST:PORT of another host, as in db.example.net:5432'
  const { dnsNames = [] } = entry
  if (dnsNames.length > MAX_DNS_NAMES) return `has more than ${MAX_DNS_NAMES} DNS names`
  if (!dnsNames.every(isDnsNamePattern)) return 'has a DNS name that is none, as in db.example.net or *.example.net'
  const texts = [entry.user, entry.group, entry.exePath, entry.systemdUnit, entry.cgroup]
  return texts.some(text => (text?.length ?? 0) > MAX_SELECTOR_LENGTH) ? 'has a selector that is too long' : undefined
}

function isCleanPath(path: string): boolean {
  const [first, ...names] = path.split('/')
  return first === '' && names.length > 0 && names.every(name => name !== '' && name !== '.' && name !== '..')
}

function isGateway(text: string): boolean {
  return isForm(gatewayName, text)
}

function isDnsNamePattern(text: string): boolean {
  return isForm(dnsNamePattern, text)
}

function isForm(formOf: (text: string) => string, text: string): boolean {
  try {
    return formOf(text) === text
  } catch {
    return false
  }
}

function optional(text: string): string | undefined {
  return text === '' ? undefined : text
}

function patternOf(entry: policyPb.Entry) {
  try {
    return parsePattern(entry.grants)
  } catch (cause) {
    throw malformed(`entry ${entry.id} cannot be read`, cause)
  }
}
