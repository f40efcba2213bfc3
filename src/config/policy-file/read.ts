import { readFileSync } from 'node:fs'
import { ErrorCode, fileFault, WarrenError } from '../../core/index.ts'
import { adminPb, apiPb, create, grantsFields } from '../../wire/index.ts'
import type { Fault, Place } from '../files/place.ts'
import { type Parsed, parseYaml } from '../files/yaml.ts'
import { type AssertionPairs, parseAssertion } from './assertion.ts'
import { parseDate } from './date.ts'
import { explain } from './explain.ts'
import {
  EFFECTS,
  type EntryForm,
  fileSchema,
  type InvariantForm,
  type PolicyFileForm,
  type RuleForm
} from './schema.ts'

/** The largest policy as YAML, with comments. */
const MAX_FILE_BYTES = 8 * 1024 * 1024

/** An assertion of a file. */
export interface FileTest extends AssertionPairs {
  readonly isAllowed: boolean
  readonly text: string
  readonly at: Place
}

/** A policy as a file states it. */
export interface PolicyFile {
  /** Empty if there are faults. */
  readonly document: adminPb.PolicyDocument
  readonly tests: readonly FileTest[]
  readonly faults: readonly Fault[]
  readonly placeOf: (section: 'rules' | 'entries' | 'invariants', index: number) => Place
}

/** Reads a file. Throws INVALID_CONFIG if it cannot be read; what is wrong in it is among the faults. */
export function readPolicyFile(path: string): PolicyFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(ErrorCode.InvalidConfig, `cannot read ${path}: ${why}`, { cause, hint })
  }
  return parsePolicyFile(path, text)
}

/** As `readPolicyFile`, from its text; `path` is for the places. Never throws. */
export function parsePolicyFile(path: string, text: string): PolicyFile {
  if (text.length > MAX_FILE_BYTES) {
    const hint = 'A policy has at most 1 MiB; this is another file.'
    return nothing([{ file: path, line: 1, column: 1, text: `it is larger than ${MAX_FILE_BYTES} bytes`, hint }])
  }
  const parsed = parseYaml(path, text)
  if (parsed.faults.length > 0) return nothing(parsed.faults.map(fault => withQuotes(fault, text)))
  const result = fileSchema.safeParse(parsed.value)
  if (!result.success) return nothing(result.error.issues.flatMap(issue => explain(issue, parsed)))
  const faults = effectFaults(result.data, parsed)
  if (faults.length > 0) return nothing(faults)
  return {
    document: documentOf(result.data),
    tests: (result.data.tests ?? []).flatMap((test, index) => {
      const at = parsed.placeOf(['tests', index])
      return Object.entries(test).map(([key, verdict]) => ({
        ...parseAssertion(key),
        isAllowed: verdict === 'allowed',
        text: key,
        at
      }))
    }),
    faults: [],
    placeOf: (section, index) => parsed.placeOf([section, index])
  }
}

function nothing(faults: readonly Fault[]): PolicyFile {
  const [first] = faults
  const at = { file: first?.file ?? '', line: 1, column: 1 }
  return { document: create(adminPb.PolicyDocumentSchema, {}), tests: [], faults, placeOf: () => at }
}

// A pattern that begins with an asterisk is an alias in YAML, and one that begins with a brace is a map.
function withQuotes(fault: Fault, text: string): Fault {
  if (/alias/i.test(fault.text)) {
    const lines = text.split('\n')
    const line = lines.findIndex(one => /^[^#]*[:-]\s+\*/.test(one))
    const column = (lines[line] ?? '').search(/(?<=[:-]\s+)\*/)
    const place = line === -1 ? {} : { line: line + 1, column: column + 1 }
    const hint = 'Put it in quotes, as in "*.web.*.*".'
    return { ...fault, ...place, text: 'a pattern that begins with * is not quoted', hint }
  }
  const isBrace = /^[^#]*[:-]\s+\{/.test(text.split('\n')[fault.line - 1] ?? '')
  return isBrace ? { ...fault, hint: 'Put a pattern in quotes that begins with {, as in "{dev,test}.web.*.*".' } : fault
}

function effectFaults({ rules }: PolicyFileForm, parsed: Parsed): Fault[] {
  return (rules ?? []).flatMap((rule, index) => {
    const [first, second] = EFFECTS.filter(effect => rule[effect] !== undefined)
    const place = parsed.placeOf(['rules', index])
    if (first === undefined)
      return [
        {
          ...place,
          text: 'it has no effect',
          hint: 'Begin it with allow, deny or audit, as in "- allow: dev.web.*.*".'
        }
      ]
    if (second === undefined) return []
    return [
      {
        ...parsed.placeOfKey(['rules', index], second),
        text: `${first} and ${second} exclude each other`,
        hint: 'Write a rule for each.'
      }
    ]
  })
}

function documentOf({ rules, entries, invariants, strict }: PolicyFileForm): adminPb.PolicyDocument {
  return create(adminPb.PolicyDocumentSchema, {
    ...(rules == null ? {} : { rules: { rules: rules.map(ruleOf) } }),
    ...(entries == null ? {} : { entries: { entries: entries.map(entryOf) } }),
    ...(invariants == null ? {} : { invariants: { invariants: invariants.map(invariantOf) } }),
    ...(strict === undefined ? {} : { strict })
  })
}

function ruleOf(rule: RuleForm) {
  const effect = EFFECTS.find(name => rule[name] !== undefined) ?? ''
  return {
    effect,
    source: (effect === '' ? undefined : rule[effect]) ?? '',
    destination: rule.to,
    protocols: protocolsOf(rule.protocols),
    notBeforeMs: dateOf(rule['not-before']),
    untilMs: dateOf(rule.until),
    maxConnects: rule['max-connects'] ?? 0,
    maxRate: rule['max-rate'] ?? 0,
    ...peopleOf(rule)
  }
}

function entryOf(entry: EntryForm) {
  const later = {
    containerRuntime: entry.runtime ?? '',
    containerName: entry.container ?? '',
    containerImage: entry.image ?? '',
    containerPod: entry.pod ?? '',
    containerUser: entry['container-user'] ?? '',
    containerServiceAccount: entry['service-account'] ?? '',
    selinux: entry.selinux ?? '',
    apparmor: entry.apparmor ?? ''
  }
  return {
    ...grantsFields(entry.grant, later),
    ...later,
    machine: entry.machine ?? '',
    ...(entry.uid === undefined ? {} : { uid: entry.uid }),
    user: entry.user ?? '',
    ...(entry.gid === undefined ? {} : { gid: entry.gid }),
    group: entry.group ?? '',
    exePath: entry.exe ?? '',
    exeSha256: entry.sha256 ?? '',
    systemdUnit: entry.unit ?? '',
    cgroup: entry.cgroup ?? '',
    gateways: entry.gateways ?? [],
    dnsNames: entry['dns-names'] ?? [],
    maxConnects: entry['max-connects'] ?? 0,
    maxRate: entry['max-rate'] ?? 0,
    ...peopleOf(entry)
  }
}

function invariantOf(invariant: InvariantForm) {
  return {
    source: invariant.never,
    destination: invariant.to,
    protocols: protocolsOf(invariant.protocols),
    ...peopleOf(invariant)
  }
}

function protocolsOf(names: readonly ('tcp' | 'udp')[] = []): apiPb.Protocol[] {
  const given = new Set(names)
  // Both is every protocol.
  if (given.size === 2) return []
  return [...given].map(name => (name === 'tcp' ? apiPb.Protocol.TCP : apiPb.Protocol.UDP))
}

function peopleOf({
  owner = '',
  reason = ''
}: {
  readonly owner?: string | undefined
  readonly reason?: string | undefined
}) {
  return { owner, reason }
}

function dateOf(text: string | undefined): bigint {
  return text === undefined ? 0n : BigInt(parseDate(text))
}
