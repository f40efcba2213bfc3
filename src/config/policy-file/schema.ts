import { z } from 'zod'
import { dnsNamePattern, gatewayName, WarrenError } from '../../core/index.ts'
import { parsePattern } from '../../identity/index.ts'
import { parseAssertion } from './assertion.ts'
import { parseDate } from './date.ts'

const MAX_ID = 2 ** 32 - 2
const MAX_GATEWAYS = 16
const MAX_DNS_NAMES = 16
const MAX_CONNECTS = 1_000_000
// As of the options of `warren allow`.
const MIN_RATE = 1_000
const MAX_RATE = 4_000_000_000

/** A text that `parse` accepts; its error is the fault. */
function parsed(description: string, parse: (text: string) => unknown) {
  return z
    .string()
    .superRefine((text, context) => {
      try {
        parse(text)
      } catch (err) {
        const { reason, hint } = WarrenError.from(err)
        context.addIssue({ code: 'custom', message: reason, params: { hint } })
      }
    })
    .meta({ description })
}

const pattern = (description: string) => parsed(description, parsePattern)
const text = (description: string) => z.string().min(1).meta({ description })
const number = (description: string, min: number, max: number) => z.int().min(min).max(max).meta({ description })

const people = {
  owner: text('who answers for it').optional(),
  reason: text('why it is there').optional()
}
const protocols = z
  .array(z.enum(['tcp', 'udp']))
  .min(1)
  .max(2)
  .optional()
  .meta({ description: 'tcp, udp or both (default: both)' })
const limits = {
  'max-connects': number('connections in a second to each registration', 1, MAX_CONNECTS).optional(),
  'max-rate': number('bytes in a second to each registration', MIN_RATE, MAX_RATE).optional()
}

/** The keys of a rule that say its effect; exactly one of them is there. */
export const EFFECTS = ['allow', 'deny', 'audit'] as const

export const ruleSchema = z.strictObject({
  allow: pattern('sources that may connect').optional(),
  deny: pattern('sources that may not connect').optional(),
  audit: pattern('sources that may connect, with a record of what nothing else allows').optional(),
  to: pattern('destinations'),
  protocols,
  'not-before': parsed('begin, as in 2030-12-24T18:00Z', parseDate).optional(),
  until: parsed('end, as in 2030-12-24T18:00Z', parseDate).optional(),
  ...limits,
  ...people
})

export const entrySchema = z.strictObject({
  grant: pattern('addresses that its processes may register'),
  machine: text('only on this host').optional(),
  uid: number('user id', 0, MAX_ID).optional(),
  user: text('user, as the host knows it').optional(),
  gid: number('group id', 0, MAX_ID).optional(),
  group: text('group, as the host knows it').optional(),
  exe: text('path of the executable').optional(),
  sha256: text('hash of the executable').optional(),
  unit: text('systemd unit').optional(),
  cgroup: text('cgroup (version 2) or one below it').optional(),
  runtime: text('container runtime, as in podman').optional(),
  container: text('name of a container').optional(),
  image: text('digest of the image of a container, with sha256: before it').optional(),
  pod: text('name or id of a pod').optional(),
  'service-account': text('service account of a pod of Kubernetes, as NAMESPACE/NAME').optional(),
  'container-user': text('user whose container it is (default: root)').optional(),
  selinux: text('label that SELinux enforces, or its beginning').optional(),
  apparmor: text('profile that AppArmor enforces').optional(),
  gateways: z
    .array(parsed('HOST:PORT of a server of another host for which its registrations may stand', gatewayName))
    .max(MAX_GATEWAYS)
    .optional()
    .meta({ description: 'servers of other hosts for which its registrations may stand' }),
  'dns-names': z
    .array(parsed('DNS name, as in db.example.net or *.example.net, that its certificates may have', dnsNamePattern))
    .max(MAX_DNS_NAMES)
    .optional()
    .meta({ description: 'DNS names that the certificates of its registrations may have' }),
  ...limits,
  ...people
})

export const invariantSchema = z.strictObject({
  never: pattern('sources that may never connect'),
  to: pattern('destinations'),
  protocols,
  ...people
})

const verdict = z.enum(['allowed', 'denied'])

/** One assertion: its connections are the key. */
export const testSchema = z
  .record(z.string(), verdict)
  .superRefine((map, context) => {
    const keys = Object.keys(map)
    const issue = (message: string, hint: string): void =>
      context.addIssue({ code: 'custom', message, params: { hint } })
    if (keys.length !== 1)
      issue('expected one assertion', 'Begin each with a dash: "- SOURCE -> DESTINATION: allowed".')
    for (const key of keys) {
      try {
        parseAssertion(key)
      } catch (err) {
        const { reason, hint = '' } = WarrenError.from(err)
        issue(reason, hint)
      }
    }
  })
  .meta({ description: 'SOURCE -> DESTINATION: allowed, or denied' })

export const SHAPES = { rules: ruleSchema, entries: entrySchema, invariants: invariantSchema } as const

export const fileSchema = z.strictObject({
  rules: z.array(ruleSchema).nullish(),
  entries: z.array(entrySchema).nullish(),
  invariants: z.array(invariantSchema).nullish(),
  strict: z.boolean().optional(),
  tests: z.array(testSchema).nullish()
})

export type PolicyFileForm = z.infer<typeof fileSchema>
export type RuleForm = z.infer<typeof ruleSchema>
export type EntryForm = z.infer<typeof entrySchema>
export type InvariantForm = z.infer<typeof invariantSchema>
export const FILE_KEYS = Object.keys(fileSchema.shape)
