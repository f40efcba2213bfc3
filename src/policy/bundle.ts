import { createHash } from 'node:crypto'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { CONTEXT, parsePattern, verifySignature } from '../identity/index.ts'
import { create, decode, policyPb, toBinary } from '../wire/index.ts'
import type { Protocol, Rule } from './rule.ts'

/** A verified version of the policy. */
export interface Bundle {
  readonly trustDomain: string
  readonly version: bigint
  /** Hex SHA-256 of the signed bytes of this version. */
  readonly sha256: string
  readonly issuedAtMs: number
  readonly rules: readonly Rule[]
  /** The SignedBundle as it travels and is stored. */
  readonly signed: Uint8Array
}

/** Bounds of a bundle: enough for a few thousand hosts' rules, small enough to send whole. */
export const MAX_BUNDLE_BYTES = 1024 * 1024
export const MAX_RULES = 4_096
export const MAX_REASON_LENGTH = 256

const MAX_ID_LENGTH = 64

/**
 * Verifies the admin's signature over the exact bytes, and only then reads them.
 *
 * Throws SIGNATURE_INVALID, MESSAGE_TOO_LARGE or MESSAGE_MALFORMED. A bundle of which one rule is malformed is refused
 * whole: half a policy is another policy.
 */
export function openBundle(signed: Uint8Array, adminPublicKey: Uint8Array, trustDomain: string): Bundle {
  const envelope = decode(policyPb.SignedBundleSchema, signed, MAX_BUNDLE_BYTES)
  if (!verifySignature(adminPublicKey, CONTEXT.policyBundle, envelope.bundle, envelope.signature)) {
    throw new WarrenError(ErrorCode.SignatureInvalid, 'the policy bundle is not signed by the admin key')
  }
  const message = decode(policyPb.BundleSchema, envelope.bundle, MAX_BUNDLE_BYTES)
  if (message.trustDomain !== trustDomain) {
    throw new WarrenError(ErrorCode.SignatureInvalid, `the policy bundle is of trust domain "${message.trustDomain}"`)
  }
  if (message.version === 0n) throw malformed('its version is zero')
  if (message.rules.length > MAX_RULES) throw malformed(`it has ${message.rules.length} rules, more than ${MAX_RULES}`)
  const rules = message.rules.map(decodeRule)
  if (new Set(rules.map(rule => rule.id)).size !== rules.length) throw malformed('a rule id occurs twice')
  return Object.freeze({
    trustDomain,
    version: message.version,
    sha256: createHash('sha256').update(envelope.bundle).digest('hex'),
    issuedAtMs: Number(message.issuedAtMs),
    rules,
    signed
  })
}

/**
 * Makes and signs the version that follows `current`, with these rules.
 *
 * `sign` signs with the admin key in the context of policy bundles. Throws LIMIT_EXCEEDED when the rules do not fit.
 */
export function sealBundle(
  current: Bundle | undefined,
  next: { readonly trustDomain: string; readonly rules: readonly Rule[]; readonly nowMs: number },
  sign: (bytes: Uint8Array) => Uint8Array
): Uint8Array {
  if (next.rules.length > MAX_RULES) {
    throw new WarrenError(ErrorCode.LimitExceeded, `the policy already has ${MAX_RULES} rules`, {
      hint: 'Remove rules with `warren policy remove`, or join several names in one pattern: {a,b}.'
    })
  }
  const bundle = toBinary(
    policyPb.BundleSchema,
    create(policyPb.BundleSchema, {
      trustDomain: next.trustDomain,
      version: (current?.version ?? 0n) + 1n,
      previousSha256: current === undefined ? new Uint8Array() : Buffer.from(current.sha256, 'hex'),
      issuedAtMs: BigInt(next.nowMs),
      rules: next.rules.map(encodeRule)
    })
  )
  const signed = toBinary(
    policyPb.SignedBundleSchema,
    create(policyPb.SignedBundleSchema, { bundle, signature: sign(bundle) })
  )
  if (signed.length > MAX_BUNDLE_BYTES) {
    throw new WarrenError(ErrorCode.LimitExceeded, `the policy would exceed ${MAX_BUNDLE_BYTES} bytes`)
  }
  return signed
}

/** What to do with a verified bundle that arrived. */
export type Succession = 'newer' | 'same' | 'older' | 'conflict'

/**
 * Compares a verified bundle with the one in force: only `newer` may replace it.
 *
 * `conflict` is the same version with another content: the admin key signed twice, which an operator must hear of.
 */
export function succession(current: Bundle | undefined, candidate: Bundle): Succession {
  if (current === undefined || candidate.version > current.version) return 'newer'
  if (candidate.version < current.version) return 'older'
  return candidate.sha256 === current.sha256 ? 'same' : 'conflict'
}

/** The next instant after `nowMs` at which a rule begins or ends to count; undefined if none will. */
export function nextChangeMs(bundle: Bundle | undefined, nowMs: number): number | undefined {
  const dates = (bundle?.rules ?? []).flatMap(rule => [rule.notBeforeMs, rule.untilMs]).filter(date => date > nowMs)
  return dates.length === 0 ? undefined : Math.min(...dates)
}

function decodeRule(rule: policyPb.Rule): Rule {
  if (rule.id === '' || rule.id.length > MAX_ID_LENGTH) throw malformed('a rule has no usable id')
  if (rule.reason.length > MAX_REASON_LENGTH) throw malformed(`the reason of rule ${rule.id} is too long`)
  if (rule.effect !== policyPb.Effect.ALLOW && rule.effect !== policyPb.Effect.DENY) {
    // A rule of an effect that this version does not know might be a denial.
    throw malformed(`rule ${rule.id} has an unknown effect`)
  }
  try {
    return Object.freeze({
      id: rule.id,
      effect: rule.effect === policyPb.Effect.ALLOW ? 'allow' : 'deny',
      source: parsePattern(rule.source),
      destination: parsePattern(rule.destination),
      protocols: rule.protocols.map(decodeProtocol),
      notBeforeMs: Number(rule.notBeforeMs),
      untilMs: Number(rule.untilMs),
      reason: rule.reason,
      createdAtMs: Number(rule.createdAtMs)
    })
  } catch (cause) {
    throw new WarrenError(ErrorCode.MessageMalformed, `rule ${rule.id} cannot be read`, { cause })
  }
}

function encodeRule(rule: Rule): policyPb.Rule {
  return create(policyPb.RuleSchema, {
    id: rule.id,
    effect: rule.effect === 'allow' ? policyPb.Effect.ALLOW : policyPb.Effect.DENY,
    source: rule.source.text,
    destination: rule.destination.text,
    protocols: rule.protocols.map(protocol => (protocol === 'tcp' ? policyPb.Protocol.TCP : policyPb.Protocol.UDP)),
    notBeforeMs: BigInt(rule.notBeforeMs),
    untilMs: BigInt(rule.untilMs),
    reason: rule.reason,
    createdAtMs: BigInt(rule.createdAtMs)
  })
}

function decodeProtocol(protocol: policyPb.Protocol): Protocol {
  if (protocol === policyPb.Protocol.TCP) return 'tcp'
  if (protocol === policyPb.Protocol.UDP) return 'udp'
  throw malformed('a rule has an unknown protocol')
}

function malformed(why: string): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, `the policy bundle is not usable: ${why}`)
}
