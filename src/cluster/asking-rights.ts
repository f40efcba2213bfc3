import { ErrorCode, WarrenError } from '../core/index.ts'
import { type AdminKey, type InForce, mayObserve, requireAdmin, roleOf } from '../policy/index.ts'
import type { AnswerKind } from './gather/index.ts'
import { decodeReceiptQuestion } from './receipts/index.ts'

/** What a right to ask depends on, besides the policy. */
export interface AskedBy {
  readonly kind: AnswerKind
  readonly signer: AdminKey
  readonly content: Uint8Array
}

/**
 * Whether the policy in force here lets the holder of a key ask this. An admin with rights asks for receipts of its own changes;
 * an owner or an observer asks what hosts see. Throws MESSAGE_MALFORMED.
 */
export function mayAsk(inForce: InForce, rootKey: AdminKey, { kind, signer, content }: AskedBy): boolean {
  if (kind === 'observation') return mayObserve(inForce, signer)
  if (kind !== 'receipt') return false
  const role = roleOf(inForce, signer)
  const hasRights = role === 'owner' || role === 'admin'
  return hasRights && decodeReceiptQuestion(content, rootKey).key === signer
}

/** Throws NOT_ADMIN if other hosts would not answer the holder of this key. */
export function requireMayAsk(inForce: InForce, key: AdminKey | undefined, kind: AnswerKind): void {
  if (kind === 'observation' && key !== undefined && mayObserve(inForce, key)) return
  const role = key === undefined ? undefined : roleOf(inForce, key)
  if (kind === 'observation' && role === 'admin') {
    throw new WarrenError(ErrorCode.NotAdmin, 'the admin of this host has scopes, and may not look at all hosts', {
      hint: 'Run the command without --mesh, or on the host of an owner or an observer: `warren admin list` lists them.'
    })
  }
  if (kind === 'receipt' && role === 'observer') {
    throw new WarrenError(
      ErrorCode.NotAdmin,
      'the admin of this host is an observer, and changes nothing to wait for',
      {
        hint: 'Run the command on the host of the admin who made the change: `warren admin list` lists them.'
      }
    )
  }
  requireAdmin(inForce, key)
}
