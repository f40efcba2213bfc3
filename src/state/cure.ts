import { ErrorCode, WarrenError } from '../core/index.ts'
import { VaultFile } from './names.ts'

/** The facts that the cure of a lost file depends on. */
export interface Place {
  readonly path: (name: string) => string
  readonly has: (name: VaultFile) => boolean
}

/** The consequences of the loss of a file. No host can work without a file that is not here. */
const WITHOUT: Partial<Record<VaultFile, string>> = {
  [VaultFile.TrustHistory]: 'this host no longer helps others that missed a rotation of the root',
  [VaultFile.JoinAttempt]: 'nothing is lost',
  [VaultFile.NodeSecret]: 'a new one is made, and workloads register again',
  [VaultFile.RenewedNode]: 'the certificate from before its renewals is used, if it still counts, and renewed',
  [VaultFile.JwtKeys]: 'new ones are made, and JWT-SVIDs of the last minutes no longer validate',
  [VaultFile.JwtKey]: 'nothing is lost, once there is jwt.keys',
  [VaultFile.RootKey]:
    'no authority is certified or renewed and no root rotated, until `warren root import` brings the key back',
  [VaultFile.FormerRootKey]: 'the rotation of the root that is under way cannot be finished',
  [VaultFile.AuthorityKey]: 'this host no longer admits or renews hosts',
  [VaultFile.PendingAuthorityKey]: 'this host becomes an authority at the next `warren authority add`',
  [VaultFile.AuthorityCertificate]: 'the first certificate of the authority is used, if it still counts',
  [VaultFile.PolicyBundle]:
    'if the database has the same policy, it is made again from that; if not, the policy comes from another host, and until one has answered nothing is allowed and none is signed here',
  [VaultFile.AdminKey]:
    'only other owners can change the policy of this trust domain from now on, if there are any (`warren admin list`)',
  [VaultFile.OwnAdminKey]:
    'this host is no admin until an owner removes the former one and adds a new key (`warren admin key`)',
  [VaultFile.PolicySets]:
    'what other admins allow and deny comes from another host, and does not count until one has answered'
}

/** Whether an operator may choose to continue without a file. */
export function canBeWithout(name: VaultFile): boolean {
  return WITHOUT[name] !== undefined
}

/** The error for a missing file, with the cure. */
export function lost(place: Place, name: VaultFile): WarrenError {
  return new WarrenError(ErrorCode.StateUnusable, `${place.path(name)} is missing`, { hint: cure(place, name, 'is') })
}

/** The same of one or several files, all in one refusal: an operator is to see all of a loss before he accepts it. */
export function lostAll(place: Place, names: readonly VaultFile[]): WarrenError {
  const [first, ...others] = names
  if (first === undefined) throw new WarrenError(ErrorCode.Internal, 'nothing is lost')
  if (others.length === 0) return lost(place, first)
  const essential = names.filter(name => !canBeWithout(name))
  const [worst] = essential
  const hint =
    worst === undefined
      ? `Put them back from a backup, or start once with --accept-lost-state: ${names.map(name => `without ${name}, ${WITHOUT[name]}`).join('; ')}.`
      : cure(place, worst, 'is').replace('Put it back', 'Put them back')
  const rest = others.map(name => place.path(name)).join(', ')
  const so = others.length === 1 ? 'is' : 'are'
  return new WarrenError(ErrorCode.StateUnusable, `${place.path(first)} is missing; so ${so} ${rest}`, { hint })
}

/** That a file does not hold what it must, with what can be done. */
export function damaged(place: Place, name: VaultFile, why = 'is damaged', cause?: unknown): WarrenError {
  const options = { cause, hint: cure(place, name, 'was') }
  return new WarrenError(ErrorCode.StateUnusable, `${place.path(name)} ${why}`, options)
}

function cure(place: Place, name: VaultFile, so: 'is' | 'was'): string {
  const without = WITHOUT[name]
  const remove = so === 'was' ? 'remove it and ' : ''
  if (without !== undefined)
    return `Put it back from a backup, or ${remove}start once with --accept-lost-state: ${without}.`
  const holdsMore = [VaultFile.RootKey, VaultFile.AuthorityKey, VaultFile.AdminKey].some(key => place.has(key))
  return holdsMore
    ? 'Put it back from a backup. Do not empty the directory: other keys in it are those of the whole trust domain.'
    : 'Put it back from a backup, or empty the state directory and join again with a new token.'
}
