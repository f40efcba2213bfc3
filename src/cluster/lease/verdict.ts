import { createHash } from 'node:crypto'
import type { Admin, AdminKey, InForce } from '../../policy/index.ts'
import { MAX_SKEW_MS } from '../../registry/index.ts'
import type { Confirmation } from './confirmation.ts'

/** What a host does with a confirmation whose signature is valid. */
export type Verdict =
  /** It says that the policy in force here is also that of the admin's host. */
  | 'confirms'
  /** The admin's host has another policy: one of the two lacks something. */
  | 'other-policy'
  /** It is too old or too new by the clock of this host, so that it may be one that somebody held back. Others may still count it. */
  | 'out-of-time'
  /** Nobody counts it, and it is not forwarded: no admin with rights, a repetition, or far from any clock. */
  | 'worthless'

/** Evaluates one confirmation. The same facts always give the same answer. */
export function verdictOn(
  { author, signedAtMs, policy }: Confirmation,
  here: {
    readonly inForce: Pick<InForce, 'admins'>
    readonly policy: string
    /** Of the newest confirmation of this author that was taken here. */
    readonly lastSignedAtMs: number | undefined
    readonly boundMs: number | undefined
    readonly wallMs: number
  }
): Verdict {
  const { inForce, lastSignedAtMs = 0, boundMs = MAX_SKEW_MS, wallMs } = here
  const distanceMs = Math.abs(wallMs - signedAtMs)
  if (!mayConfirm(inForce.admins, author) || signedAtMs <= lastSignedAtMs || distanceMs > MAX_SKEW_MS) {
    return 'worthless'
  }
  if (distanceMs > boundMs) return 'out-of-time'
  return policy === here.policy ? 'confirms' : 'other-policy'
}

/** Whether a key is that of an admin who may change something. */
export function mayConfirm(admins: readonly Admin[], key: AdminKey): boolean {
  return admins.some(admin => admin.key === key && admin.role !== 'observer' && admin.removal === undefined)
}

/** Stands for all statements that count: equal on two hosts exactly where the same ones do. */
export function policyDigest({ admins, digest }: InForce, rootKey: AdminKey, rootSha256: string | undefined): string {
  // A removed root signs what it likes, and what counts of it is in the digest already.
  const root = mayConfirm(admins, rootKey) ? (rootSha256 ?? '') : ''
  return createHash('sha256').update(`${root}\n${digest}`).digest('hex')
}

/** Whether a host serves nothing: never one that holds the key of an admin with rights, or has no bound. */
export function isOver({
  boundMs,
  isAdmin,
  unheardMs
}: {
  readonly boundMs: number | undefined
  readonly isAdmin: boolean
  readonly unheardMs: number
}): boolean {
  return boundMs !== undefined && !isAdmin && unheardMs >= boundMs
}
