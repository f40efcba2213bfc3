import { generatePeerKeyPair, peerKeyOf, rawPublicKey } from '../../src/identity/index.ts'
import {
  type AdminGrant,
  type AdminKey,
  draftBundle,
  foldSets,
  type InForce,
  type Role
} from '../../src/policy/index.ts'

/** Keys: of the founder, an admin of a scope, an observer, and of nobody. */
export const [ROOT, BOB, EVE, STRANGER] = Array.from({ length: 4 }, () =>
  peerKeyOf(rawPublicKey(generatePeerKeyPair()))
) as [AdminKey, AdminKey, AdminKey, AdminKey]

const grant = (key: AdminKey, name: string, role: Role): AdminGrant => ({
  id: name,
  key,
  name,
  role,
  scopes: role === 'admin' ? ['dev'] : [],
  reason: '',
  createdAtMs: 1
})

/** The founder has added the admin Bob of a scope and the observer Eve, and removed these. */
export function inForce(removed: readonly AdminKey[] = []): InForce {
  const root = draftBundle(undefined, {
    trustDomain: 'example.org',
    nowMs: 1,
    admins: [grant(BOB, 'bob', 'admin'), grant(EVE, 'eve', 'observer')],
    adminRemovals: removed.map((key, at) => ({
      id: `d${at}`,
      key,
      sequence: 0n,
      sha256: '',
      reason: '',
      createdAtMs: 2
    }))
  })
  return foldSets({ rootKey: ROOT, root, versions: new Map() })
}
