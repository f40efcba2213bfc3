import type { MessageInitShape } from '@bufbuild/protobuf'
import type { PolicyService } from '../../cluster/index.ts'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { RuleChange } from '../../events/index.ts'
import { parsePeerKey } from '../../identity/index.ts'
import { type Admin, addAdmin, type InForce, type Role, removeAdmin } from '../../policy/index.ts'
import type { adminPb } from '../../wire/index.ts'
import type { AdminHandlers } from '../index.ts'

export interface AdminsHandlersDeps {
  readonly policy: PolicyService
  readonly members: () => MessageInitShape<typeof adminPb.MemberSchema>[]
  readonly onRuleChange: (change: RuleChange, subject: string, uid: number) => void
}

type Names = 'makeAdminKey' | 'offerSignatures' | 'answerSignature' | 'listAdmins' | 'addAdmin' | 'removeAdmin'

const MAX_REFUSAL = 256
const MAX_URI_LENGTH = 256
// Commands print it, and look for the key by it.
const KEY_URI = /^(ssh-agent|file|pkcs11):[\x21-\x7e]*$/

const ROLES: readonly Role[] = ['owner', 'admin', 'observer']

/** The handlers of admin.sock for who may change the policy. */
export function adminsHandlers({ policy, members, onRuleChange }: AdminsHandlersDeps): Pick<AdminHandlers, Names> {
  const { sets } = policy
  const olderMembers = (): string[] =>
    members().flatMap(({ machine, policySets }) => (policySets ? [] : [machine ?? '']))
  const shown = (key: string): MessageInitShape<typeof adminPb.AdminSchema> | undefined => {
    const admin = sets.inForce.admins.find(one => one.key === key)
    return admin && adminMessage(admin, sets.inForce, sets.ownKey)
  }
  return {
    async makeAdminKey({ renew, key: elsewhere, uri }, { uid }) {
      const former = sets.ownKey
      if (elsewhere !== '') sets.useKey({ key: parsePeerKey(elsewhere), uri: parseKeyUri(uri) })
      const key = sets.makeKey(renew)
      if (key !== former) onRuleChange('make-admin-key', key, uid)
      return { key, name: sets.ownName, uri: sets.elsewhere?.uri ?? '' }
    },

    async *offerSignatures(_request, { connection }, signal) {
      const { key = '', uri = '' } = sets.elsewhere ?? {}
      for await (const wanted of sets.signing.offer(connection, signal)) {
        if (wanted === undefined) yield { key, uri }
        else yield { key, uri, wanted: { ...wanted, former: wanted.former ?? new Uint8Array() } }
      }
    },

    async answerSignature({ id, signature, refusal, end }, { connection }) {
      if (end) sets.signing.end(connection)
      else
        sets.signing.answer(connection, id, refusal === '' ? { signature } : { refusal: refusal.slice(0, MAX_REFUSAL) })
      return {}
    },

    listAdmins: async () => ({
      admins: sets.inForce.admins.map(admin => adminMessage(admin, sets.inForce, sets.ownKey)),
      olderMembers: olderMembers()
    }),

    async addAdmin(request, { uid }) {
      const { name, scopes, reason } = request
      const role = ROLES.find(one => one === request.role)
      if (role === undefined) {
        throw new WarrenError(ErrorCode.InvalidArgument, `"${request.role.slice(0, 32)}" is no role`, {
          hint: `A role is ${ROLES.join(', ')}.`
        })
      }
      const key = parsePeerKey(request.key)
      const older = olderMembers()
      if (older.length > 0 && !request.acceptOlderMembers) throw olderPrograms(older)
      const { content } = addAdmin(sets.inForce, sets.editor(), { name, key, role, scopes, reason })
      await policy.change(content)
      onRuleChange('add-admin', `${name} ${role}`, uid)
      return { admin: shown(key), version: policy.ownVersion }
    },

    async removeAdmin({ name, discard, reason }, { uid }) {
      const { content, removed } = removeAdmin(sets.inForce, sets.editor(), { name, discard, reason })
      await policy.change(content)
      onRuleChange('remove-admin', removed.name, uid)
      return { admin: shown(removed.key), version: policy.ownVersion }
    }
  }
}

function olderPrograms(older: readonly string[]): WarrenError {
  const named = older.slice(0, 8).join(', ')
  return new WarrenError(ErrorCode.NotReady, `the programs of ${named} know one admin only`, {
    hint: 'They would not enforce what another admin denies or revokes. Upgrade them first, or accept that: --accept-older-members.'
  })
}

function adminMessage(
  { key, name, role, scopes, grants, removal, set, isAwaited }: Admin,
  { admins, origins }: InForce,
  ownKey: string | undefined
): MessageInitShape<typeof adminPb.AdminSchema> {
  const nameOf = (by: string | undefined): string => admins.find(one => one.key === by)?.name ?? ''
  const [first] = grants
  const stated = [...origins.values()].filter(({ author }) => author === key)
  return {
    name,
    role,
    scopes: [...scopes],
    key,
    here: key === ownKey,
    version: set?.version ?? 0n,
    sha256: set?.sha256 ?? '',
    statements: stated.length,
    withoutEffect: stated.filter(({ withoutEffect }) => withoutEffect !== undefined).length,
    addedBy: nameOf(first?.by),
    addedAtMs: BigInt(first?.grant.createdAtMs ?? 0),
    reason: first?.grant.reason ?? '',
    removedBy: nameOf(removal?.by),
    removedAtMs: BigInt(removal?.removal.createdAtMs ?? 0),
    removalReason: removal?.removal.reason ?? '',
    awaited: isAwaited
  }
}

function parseKeyUri(uri: string): string {
  if (uri.length <= MAX_URI_LENGTH && KEY_URI.test(uri)) return uri
  throw new WarrenError(ErrorCode.InvalidArgument, 'this is no place of a key', {
    hint: 'As in ssh-agent:SHA256:…, file:/media/stick/bob.pem or pkcs11:token=bob;id=%01.'
  })
}
