import { isComponent, peerKeyOf, rawKeyOf } from '../identity/index.ts'
import { create, policyPb } from '../wire/index.ts'
import {
  type AdminGrant,
  type AdminKey,
  type AdminRemoval,
  isAdminName,
  MAX_ADMIN_SCOPES,
  type Role,
  type Withdrawal
} from './admin.ts'
import { checkIdAndReason, malformed } from './codec.ts'

/** Statements of each kind in one set. */
export const MAX_GRANTS = 64
export const MAX_ADMIN_REMOVALS = 128
export const MAX_WITHDRAWALS = 1_024
const MAX_STATEMENT_LENGTH = 64

const ROLES: Readonly<Record<Role, policyPb.Role>> = Object.freeze({
  owner: policyPb.Role.OWNER,
  admin: policyPb.Role.ADMIN,
  observer: policyPb.Role.OBSERVER
})

/** Throws MESSAGE_MALFORMED. A role of a later program gives no rights here, and the rest of the set counts. */
export function decodeGrant(grant: policyPb.AdminGrant): AdminGrant[] {
  checkIdAndReason('grant', grant)
  const { id, key, name, scopes } = grant
  if (!isAdminName(name)) throw malformed(`grant ${id} has no usable name`)
  if (scopes.length > MAX_ADMIN_SCOPES || !scopes.every(isComponent)) throw malformed(`grant ${id} has unusable scopes`)
  const role = (['owner', 'admin', 'observer'] as const).find(one => ROLES[one] === grant.role)
  if (role === undefined) return []
  return [
    Object.freeze({
      id,
      key: keyOf(key, id),
      name,
      role,
      scopes: Object.freeze(role === 'admin' ? [...scopes] : []),
      reason: grant.reason,
      createdAtMs: Number(grant.createdAtMs)
    })
  ]
}

export function encodeGrant({ key, role, scopes, createdAtMs, ...rest }: AdminGrant): policyPb.AdminGrant {
  return create(policyPb.AdminGrantSchema, {
    ...rest,
    key: rawKeyOf(key),
    role: ROLES[role],
    scopes: [...scopes],
    createdAtMs: BigInt(createdAtMs)
  })
}

/** Throws MESSAGE_MALFORMED. */
export function decodeRemoval(removal: policyPb.AdminRemoval): AdminRemoval {
  checkIdAndReason('removal', removal)
  const { id, key, sequence, sha256, reason } = removal
  if (sha256.length !== (sequence === 0n ? 0 : 32)) throw malformed(`removal ${id} names no version`)
  return Object.freeze({
    id,
    key: keyOf(key, id),
    sequence,
    sha256: Buffer.from(sha256).toString('hex'),
    reason,
    createdAtMs: Number(removal.createdAtMs)
  })
}

export function encodeRemoval({ key, sha256, createdAtMs, ...rest }: AdminRemoval): policyPb.AdminRemoval {
  return create(policyPb.AdminRemovalSchema, {
    ...rest,
    key: rawKeyOf(key),
    sha256: Buffer.from(sha256, 'hex'),
    createdAtMs: BigInt(createdAtMs)
  })
}

/** Throws MESSAGE_MALFORMED. */
export function decodeWithdrawal(withdrawal: policyPb.Withdrawal): Withdrawal {
  checkIdAndReason('withdrawal', withdrawal)
  const { id, author, statement, reason } = withdrawal
  if (statement === '' || statement.length > MAX_STATEMENT_LENGTH) throw malformed(`withdrawal ${id} names nothing`)
  return Object.freeze({
    id,
    author: keyOf(author, id),
    statement,
    reason,
    createdAtMs: Number(withdrawal.createdAtMs)
  })
}

export function encodeWithdrawal({ author, createdAtMs, ...rest }: Withdrawal): policyPb.Withdrawal {
  return create(policyPb.WithdrawalSchema, {
    ...rest,
    author: rawKeyOf(author),
    createdAtMs: BigInt(createdAtMs)
  })
}

function keyOf(key: Uint8Array, id: string): AdminKey {
  try {
    return peerKeyOf(key)
  } catch (cause) {
    throw malformed(`${id} names no key`, cause)
  }
}
