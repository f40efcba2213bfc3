import { parsePattern } from '../identity/index.ts'
import { create, policyPb } from '../wire/index.ts'
import { checkIdAndReason, malformed, ownerOf } from './codec.ts'
import type { Invariant } from './invariant.ts'
import { decodeProtocol, encodeProtocol } from './rule-codec.ts'

/** Throws MESSAGE_MALFORMED. */
export function decodeInvariant(invariant: policyPb.Invariant): Invariant {
  checkIdAndReason('invariant', invariant)
  try {
    return Object.freeze({
      id: invariant.id,
      source: parsePattern(invariant.source),
      destination: parsePattern(invariant.destination),
      protocols: invariant.protocols.map(decodeProtocol),
      reason: invariant.reason,
      ...ownerOf(invariant),
      createdAtMs: Number(invariant.createdAtMs)
    })
  } catch (cause) {
    throw malformed(`invariant ${invariant.id} cannot be read`, cause)
  }
}

export function encodeInvariant(invariant: Invariant): policyPb.Invariant {
  return create(policyPb.InvariantSchema, {
    id: invariant.id,
    source: invariant.source.text,
    destination: invariant.destination.text,
    protocols: invariant.protocols.map(encodeProtocol),
    reason: invariant.reason,
    owner: invariant.owner ?? '',
    createdAtMs: BigInt(invariant.createdAtMs)
  })
}
