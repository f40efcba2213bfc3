import { createHash } from 'node:crypto'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { CONTEXT, type Revocation, verifySignature } from '../identity/index.ts'
import { create, decode, policyPb, toBinary } from '../wire/index.ts'
import type { AdminGrant, AdminRemoval, Withdrawal } from './admin.ts'
import {
  decodeGrant,
  decodeRemoval,
  decodeWithdrawal,
  encodeGrant,
  encodeRemoval,
  encodeWithdrawal,
  MAX_ADMIN_REMOVALS,
  MAX_GRANTS,
  MAX_WITHDRAWALS
} from './admin-codec.ts'
import { malformed } from './codec.ts'
import type { Entry } from './entry.ts'
import { decodeEntry } from './entry-codec.ts'
import { entriesIn, listsOf } from './entry-lists.ts'
import type { Invariant } from './invariant.ts'
import { decodeInvariant, encodeInvariant } from './invariant-codec.ts'
import { decodeRevocation, encodeRevocation } from './revocation-codec.ts'
import type { Rule } from './rule.ts'
import { decodeRule, encodeRule } from './rule-codec.ts'

/** The decisions of the admin. */
export interface Content {
  readonly rules: readonly Rule[]
  readonly entries: readonly Entry[]
  /** Turns off the built-in entry, which lets root and the agent's user claim any address of their host. */
  readonly strict: boolean
  readonly revocations: readonly Revocation[]
  /** What the rules must never allow. */
  readonly invariants: readonly Invariant[]
  /** The rights of other admins; they count in the set of an owner. @default none */
  readonly admins?: readonly AdminGrant[]
  /** Admins whose rights have ended; they count in the set of an owner. @default none */
  readonly adminRemovals?: readonly AdminRemoval[]
  /** Statements of other admins that are taken back. @default none */
  readonly withdrawals?: readonly Withdrawal[]
}

/** A verified version of the policy. */
export interface Bundle extends Content {
  readonly trustDomain: string
  readonly version: bigint
  /** Hex SHA-256 of the signed bytes of this version. */
  readonly sha256: string
  readonly issuedAtMs: number
  /** Whether it follows none: it is the first one, or was begun anew by an admin who had lost what was before. */
  readonly isBeginning: boolean
  /** The SignedBundle as it travels and is stored. */
  readonly signed: Uint8Array
}

/** Limits of a bundle: enough for a few thousand hosts, small enough to send whole. */
export const MAX_BUNDLE_BYTES = 1024 * 1024
export const MAX_RULES = 4_096
export const MAX_ENTRIES = 4_096
export const MAX_REVOCATIONS = 4_096
export const MAX_INVARIANTS = 128
/** The same for the set of an admin beside the root of policy: all of them together stay as small as a few bundles. */
export const MAX_SET_BYTES = 64 * 1024
const MAX_SET_STATEMENTS = 512
const MAX_SET_INVARIANTS = 16

/** Whose statements they are: of the root of policy, or of an admin beside it. */
export type Signer = 'root' | 'admin'

const LISTS = [
  {
    name: 'rules',
    max: MAX_RULES,
    limit: 'policy_rules',
    remedy: '`warren policy remove`, or join several names in one pattern: {a,b}'
  },
  { name: 'entries', max: MAX_ENTRIES, limit: 'policy_entries', remedy: '`warren entry remove`' },
  {
    name: 'revocations',
    max: MAX_REVOCATIONS,
    limit: 'policy_revocations',
    remedy: '`warren unrevoke`, once the certificates concerned have ended'
  },
  {
    name: 'invariants',
    max: MAX_INVARIANTS,
    limit: 'policy_invariants',
    remedy: '`warren policy apply --prune`, or join several names in one pattern: {a,b}'
  },
  {
    name: 'admins',
    max: MAX_GRANTS,
    limit: 'policy_admins',
    remedy: '`warren admin remove`'
  },
  {
    name: 'adminRemovals',
    max: MAX_ADMIN_REMOVALS,
    limit: 'policy_admins',
    remedy: 'a new trust domain: a removal is for good'
  },
  {
    name: 'withdrawals',
    max: MAX_WITHDRAWALS,
    limit: 'policy_withdrawals',
    remedy: '`warren policy remove` on the host of the admin who made the statements'
  }
] as const

function most(name: (typeof LISTS)[number]['name'], max: number, signer: Signer): number {
  return signer === 'root' ? max : Math.min(max, name === 'invariants' ? MAX_SET_INVARIANTS : MAX_SET_STATEMENTS)
}

/**
 * Verifies the admin's signature over the exact bytes, and only then reads them.
 *
 * Throws SIGNATURE_INVALID, MESSAGE_TOO_LARGE or MESSAGE_MALFORMED. If one part of a bundle is malformed, the whole bundle is
 * refused: half a policy is another policy.
 */
export function openBundle(signed: Uint8Array, adminPublicKey: Uint8Array, trustDomain: string): Bundle {
  const envelope = decode(policyPb.SignedBundleSchema, signed, MAX_BUNDLE_BYTES)
  if (!verifySignature(adminPublicKey, CONTEXT.policyBundle, envelope.bundle, envelope.signature)) {
    throw new WarrenError(ErrorCode.SignatureInvalid, 'the policy bundle is not signed by the admin key')
  }
  return readBundle(signed, trustDomain, 'root')
}

/** The same for the set of an admin beside the root of policy. Throws as `openBundle` does. */
export function openSet(signed: Uint8Array, authorKey: Uint8Array, trustDomain: string): Bundle {
  const envelope = decode(policyPb.SignedBundleSchema, signed, MAX_SET_BYTES)
  if (!verifySignature(authorKey, CONTEXT.policySet, envelope.bundle, envelope.signature)) {
    throw new WarrenError(ErrorCode.SignatureInvalid, 'the set of an admin is not signed by the key of that admin')
  }
  return readBundle(signed, trustDomain, 'admin')
}

/**
 * The version that would follow `current` with this content, for questions only: it has no signature, and no host takes it.
 *
 * Throws LIMIT_EXCEEDED when it does not fit.
 */
export function draftBundle(
  current: Bundle | undefined,
  next: Partial<Content> & { readonly trustDomain: string; readonly nowMs: number },
  signer: Signer = 'root'
): Bundle {
  return readBundle(
    sealBundle(current, next, () => new Uint8Array(64), signer),
    next.trustDomain,
    signer
  )
}

/**
 * All that the bytes say which an admin is to sign. Throws MESSAGE_TOO_LARGE or MESSAGE_MALFORMED, also if they say something to a
 * later program that this one does not know.
 */
export function readUnsigned(bundle: Uint8Array): Bundle {
  const message = decode(policyPb.BundleSchema, bundle, MAX_SET_BYTES)
  const known = Buffer.from(toBinary(policyPb.BundleSchema, message, { writeUnknownFields: false }))
  const signed = toBinary(policyPb.SignedBundleSchema, create(policyPb.SignedBundleSchema, { bundle }))
  const read = readBundle(signed, message.trustDomain, 'admin')
  if (known.equals(bundle) && read.admins?.length === message.admins.length) return read
  throw malformed('it has fields that this program does not know')
}

function readBundle(signed: Uint8Array, trustDomain: string, signer: Signer): Bundle {
  const envelope = decode(policyPb.SignedBundleSchema, signed, MAX_BUNDLE_BYTES)
  const message = decode(policyPb.BundleSchema, envelope.bundle, MAX_BUNDLE_BYTES)
  if (message.trustDomain !== trustDomain) {
    throw new WarrenError(ErrorCode.SignatureInvalid, `the policy bundle is for trust domain "${message.trustDomain}"`)
  }
  if (message.version === 0n) throw malformed('its version is zero')
  const entries = entriesIn(message)
  for (const { name, max: ofRoot } of LISTS) {
    const max = most(name, ofRoot, signer)
    const list = name === 'entries' ? entries : message[name]
    if (list.length > max) throw malformed(`it has ${list.length} ${name}, more than ${max}`)
    if (new Set(list.map(({ id }) => id)).size !== list.length) {
      throw malformed(`an id occurs twice in its ${name}`)
    }
  }
  return Object.freeze({
    trustDomain,
    version: message.version,
    sha256: createHash('sha256').update(envelope.bundle).digest('hex'),
    issuedAtMs: Number(message.issuedAtMs),
    isBeginning: message.previousSha256.length === 0,
    rules: Object.freeze(message.rules.map(decodeRule)),
    entries: Object.freeze(entries.map(decodeEntry)),
    strict: message.strict,
    revocations: Object.freeze(message.revocations.map(decodeRevocation)),
    invariants: Object.freeze(message.invariants.map(decodeInvariant)),
    admins: Object.freeze(message.admins.flatMap(decodeGrant)),
    adminRemovals: Object.freeze(message.adminRemovals.map(decodeRemoval)),
    withdrawals: Object.freeze(message.withdrawals.map(decodeWithdrawal)),
    signed
  })
}

/**
 * Makes and signs the version that follows `current`, or is at least `atLeast`. What `next` leaves out stays as it is.
 *
 * `sign` signs with the admin key in the context of policy bundles. Throws LIMIT_EXCEEDED when it does not fit.
 */
export function sealBundle(
  current: Bundle | undefined,
  next: Partial<Content> & { readonly trustDomain: string; readonly nowMs: number; readonly atLeast?: bigint },
  sign: (bytes: Uint8Array) => Uint8Array,
  signer: Signer = 'root'
): Uint8Array {
  const all = { ...contentOf(current), ...next }
  const { trustDomain, nowMs, atLeast = 1n, rules, entries, strict, revocations, invariants } = all
  const following = (current?.version ?? 0n) + 1n
  for (const { name, max: ofRoot, limit, remedy } of LISTS) {
    const max = most(name, ofRoot, signer)
    if ((all[name]?.length ?? 0) <= max) continue
    throw new WarrenError(ErrorCode.LimitExceeded, `the policy already has ${max} ${name}`, {
      limit,
      hint: `Remove some with ${remedy}.`
    })
  }
  const bundle = toBinary(
    policyPb.BundleSchema,
    create(policyPb.BundleSchema, {
      trustDomain,
      version: following > atLeast ? following : atLeast,
      previousSha256: current === undefined ? new Uint8Array() : Buffer.from(current.sha256, 'hex'),
      issuedAtMs: BigInt(nowMs),
      rules: rules.map(encodeRule),
      ...listsOf(entries),
      strict,
      revocations: revocations.map(encodeRevocation),
      invariants: invariants.map(encodeInvariant),
      admins: (all.admins ?? []).map(encodeGrant),
      adminRemovals: (all.adminRemovals ?? []).map(encodeRemoval),
      withdrawals: (all.withdrawals ?? []).map(encodeWithdrawal)
    })
  )
  const signed = toBinary(
    policyPb.SignedBundleSchema,
    create(policyPb.SignedBundleSchema, { bundle, signature: sign(bundle) })
  )
  const maxBytes = signer === 'root' ? MAX_BUNDLE_BYTES : MAX_SET_BYTES
  if (signed.length > maxBytes) {
    throw new WarrenError(ErrorCode.LimitExceeded, `the policy would exceed ${maxBytes} bytes`, {
      limit: 'policy_bytes'
    })
  }
  return signed
}

/** The action for a verified bundle that arrived. */
export type Succession = 'newer' | 'same' | 'older' | 'conflict'

/**
 * Compares a verified bundle with the one in force: only `newer` may replace it.
 *
 * `conflict` is the same version with another content: the admin key signed twice, which must be reported to an operator.
 */
export function succession(current: Bundle | undefined, candidate: Bundle): Succession {
  if (current === undefined || candidate.version > current.version) return 'newer'
  if (candidate.version < current.version) return 'older'
  return candidate.sha256 === current.sha256 ? 'same' : 'conflict'
}

/** The next instant after `nowMs` at which a rule starts or ends to apply; undefined if there is none. */
export function nextChangeMs(bundle: Bundle | undefined, nowMs: number): number | undefined {
  const dates = (bundle?.rules ?? []).flatMap(rule => [rule.notBeforeMs, rule.untilMs]).filter(date => date > nowMs)
  return dates.length === 0 ? undefined : Math.min(...dates)
}

/** The content of a bundle; without one, nothing. */
export function contentOf(bundle: Bundle | undefined): Content {
  const { rules = [], entries = [], strict = false, revocations = [], invariants = [] } = bundle ?? {}
  const { admins = [], adminRemovals = [], withdrawals = [] } = bundle ?? {}
  return { rules, entries, strict, revocations, invariants, admins, adminRemovals, withdrawals }
}
