import { isComponent, parsePattern, peerKeyOf, type Revocation, rawKeyOf } from '../identity/index.ts'
import { create, policyPb } from '../wire/index.ts'
import { checkIdAndReason, malformed } from './codec.ts'

/** Keys of each kind that one revocation may name. */
export const MAX_REVOKED_KEYS = 64

/** Throws MESSAGE_MALFORMED, also for a revocation that names nothing: it was meant to name something. */
export function decodeRevocation(revocation: policyPb.Revocation): Revocation {
  checkIdAndReason('revocation', revocation)
  const { id, machine, peerKeys, keySha256, pattern } = revocation
  if (peerKeys.length > MAX_REVOKED_KEYS || keySha256.length > MAX_REVOKED_KEYS) {
    throw malformed(`revocation ${id} names too many keys`)
  }
  if (machine !== '' && !isComponent(machine)) throw malformed(`revocation ${id} has an invalid machine name`)
  if (keySha256.some(key => key.length !== 32)) throw malformed(`revocation ${id} has no SHA-256`)
  if (machine === '' && pattern === '' && peerKeys.length === 0 && keySha256.length === 0) {
    throw malformed(`revocation ${id} names nothing`)
  }
  try {
    return Object.freeze({
      id,
      machine: machine === '' ? undefined : machine,
      beforeMs: Number(revocation.beforeMs),
      peers: Object.freeze(peerKeys.map(peerKeyOf)),
      keys: Object.freeze(keySha256.map(key => Buffer.from(key).toString('hex'))),
      pattern: pattern === '' ? undefined : parsePattern(pattern),
      reason: revocation.reason,
      createdAtMs: Number(revocation.createdAtMs)
    })
  } catch (cause) {
    throw malformed(`revocation ${id} cannot be read`, cause)
  }
}

export function encodeRevocation(revocation: Revocation): policyPb.Revocation {
  return create(policyPb.RevocationSchema, {
    id: revocation.id,
    machine: revocation.machine ?? '',
    beforeMs: BigInt(revocation.beforeMs),
    peerKeys: revocation.peers.map(rawKeyOf),
    keySha256: revocation.keys.map(key => Buffer.from(key, 'hex')),
    pattern: revocation.pattern?.text ?? '',
    reason: revocation.reason,
    createdAtMs: BigInt(revocation.createdAtMs)
  })
}
