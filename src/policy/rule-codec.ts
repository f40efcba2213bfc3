import { ErrorCode, type Protocol, WarrenError } from '../core/index.ts'
import { parsePattern } from '../identity/index.ts'
import { create, policyPb } from '../wire/index.ts'
import { checkIdAndReason, malformed, ownerOf } from './codec.ts'
import type { Rule, RuleEffect } from './rule.ts'
import { limitFields, limitsOf } from './usage-limits.ts'

/** Throws MESSAGE_MALFORMED. */
export function decodeRule(rule: policyPb.Rule): Rule {
  checkIdAndReason('rule', rule)
  if (rule.effect !== policyPb.Effect.ALLOW && rule.effect !== policyPb.Effect.DENY) {
    // A rule with an effect that this version does not know might be a denial.
    throw malformed(`rule ${rule.id} has an unknown effect`)
  }
  try {
    return Object.freeze({
      id: rule.id,
      effect: effectOf(rule),
      source: parsePattern(rule.source),
      destination: parsePattern(rule.destination),
      protocols: rule.protocols.map(decodeProtocol),
      notBeforeMs: Number(rule.notBeforeMs),
      untilMs: Number(rule.untilMs),
      reason: rule.reason,
      ...ownerOf(rule),
      createdAtMs: Number(rule.createdAtMs),
      ...limitsOf(rule)
    })
  } catch (cause) {
    throw new WarrenError(ErrorCode.MessageMalformed, `rule ${rule.id} cannot be read`, { cause })
  }
}

export function encodeRule(rule: Rule): policyPb.Rule {
  return create(policyPb.RuleSchema, {
    id: rule.id,
    // An agent that does not know audit rules lets the same flows pass.
    effect: rule.effect === 'deny' ? policyPb.Effect.DENY : policyPb.Effect.ALLOW,
    audit: rule.effect === 'audit',
    source: rule.source.text,
    destination: rule.destination.text,
    protocols: rule.protocols.map(encodeProtocol),
    notBeforeMs: BigInt(rule.notBeforeMs),
    untilMs: BigInt(rule.untilMs),
    reason: rule.reason,
    owner: rule.owner ?? '',
    createdAtMs: BigInt(rule.createdAtMs),
    ...limitFields(rule)
  })
}

function effectOf({ effect, audit, id }: policyPb.Rule): RuleEffect {
  if (effect === policyPb.Effect.ALLOW) return audit ? 'audit' : 'allow'
  if (audit) throw malformed(`rule ${id} denies and audits`)
  return 'deny'
}

export function encodeProtocol(protocol: Protocol): policyPb.Protocol {
  return protocol === 'tcp' ? policyPb.Protocol.TCP : policyPb.Protocol.UDP
}

export function decodeProtocol(protocol: policyPb.Protocol): Protocol {
  if (protocol === policyPb.Protocol.TCP) return 'tcp'
  if (protocol === policyPb.Protocol.UDP) return 'udp'
  throw malformed('a rule has an unknown protocol')
}
