import { ErrorCode, WarrenError } from '../../core/index.ts'
import {
  type AdminGrant,
  type AdminKey,
  isAdminName,
  MAX_ADMIN_NAME_LENGTH,
  ROOT_NAME,
  STRICT,
  type Withdrawal
} from '../admin.ts'
import type { Bundle, Content } from '../bundle.ts'
import { MAX_REASON_LENGTH } from '../codec.ts'
import { nextVersion } from '../edit.ts'
import { type Admin, MAX_ADMINS } from './admin-tree.ts'
import { type InForce, isOutside, originKey, type StatementList } from './in-force.ts'

// What an admin changes in its own set. All of these return the lists that change, and throw before anything is signed.

export type NewGrant = Omit<AdminGrant, 'id' | 'createdAtMs'>

/** Who changes, with its own set. */
export interface Editor {
  readonly key: AdminKey
  readonly own: Bundle | undefined
  readonly nowMs: number
}

const SUBJECTS: Readonly<Record<StatementList, string>> = {
  rules: 'rule',
  entries: 'entry',
  revocations: 'revocation',
  invariants: 'invariant'
}

/** The lists after a statement of this id, own or of another admin, is removed. Throws NOT_FOUND or NOT_ADMIN. */
export function removeStatement(inForce: InForce, editor: Editor, list: StatementList, id: string): Partial<Content> {
  const origin = inForce.origins.get(originKey(list, id))
  if (origin === undefined) {
    const hint =
      list === 'entries' ? '`warren entry list` lists the entries.' : `\`warren policy show\` lists the ${list}.`
    throw new WarrenError(ErrorCode.NotFound, `the policy has no ${SUBJECTS[list]} "${id.slice(0, 64)}"`, { hint })
  }
  const { key, own } = editor
  if (origin.author === key) {
    const kept: ReadonlyArray<{ readonly id: string }> = own?.[list].filter(item => item.id !== origin.id) ?? []
    return { [list]: kept }
  }
  const author = inForce.admins.find(admin => admin.key === origin.author)
  const statement = author?.set?.[list].find(item => item.id === origin.id)
  const me = requireAdmin(inForce, key)
  const mayAsAdmin = author?.role === 'admin' && statement !== undefined && isOutside(me, statement) === undefined
  if (me.role !== 'owner' && !mayAsAdmin) {
    throw new WarrenError(
      ErrorCode.NotAdmin,
      `${id} is a statement of ${author?.name}, which this admin may not remove`,
      {
        hint: 'An owner may: `warren admin list` lists them.'
      }
    )
  }
  return { withdrawals: withdraw(editor, [{ author: origin.author, statement: origin.id }]) }
}

/** The lists after entries become strict, or no longer are. Throws INVALID_ARGUMENT if another owner insists. */
export function strictContent(inForce: InForce, editor: Editor, strict: boolean): Partial<Content> {
  const others = inForce.admins.filter(
    ({ key, role, set }) => key !== editor.key && role === 'owner' && set?.strict === true
  )
  const insisting = others.find(({ removal }) => removal === undefined)
  if (strict) return { strict }
  if (insisting !== undefined) {
    throw new WarrenError(ErrorCode.InvalidArgument, `entries are strict by ${insisting.name}`, {
      hint: `Run the command on the host of ${insisting.name}.`
    })
  }
  if (others.length === 0) return { strict }
  return {
    strict,
    withdrawals: withdraw(
      editor,
      others.map(({ key }) => ({ author: key, statement: STRICT }))
    )
  }
}

/** The grants after one is added; a former one of this owner for the key is replaced. Throws NOT_ADMIN or INVALID_ARGUMENT. */
export function addAdmin(
  inForce: InForce,
  editor: Editor,
  wanted: NewGrant
): { content: Partial<Content>; added: AdminGrant } {
  requireOwner(inForce, editor.key)
  const fault = grantFault(inForce, wanted)
  if (fault !== undefined) throw new WarrenError(ErrorCode.InvalidArgument, fault[0], { hint: fault[1] })
  if (inForce.admins.length >= MAX_ADMINS && !inForce.admins.some(({ key }) => key === wanted.key)) {
    throw new WarrenError(ErrorCode.LimitExceeded, `there are ${MAX_ADMINS} admins already`, {
      limit: 'policy_admins',
      hint: 'Give the key of a host to several people, rather than a host to each.'
    })
  }
  const added: AdminGrant = { ...wanted, id: `a${nextVersion(editor.own)}`, createdAtMs: editor.nowMs }
  // In the place of the former one: the order of an owner's grants is the age of those it made owners.
  const former = editor.own?.admins ?? []
  const admins = former.some(({ key }) => key === wanted.key)
    ? former.map(grant => (grant.key === wanted.key ? added : grant))
    : [...former, added]
  return { content: { admins }, added }
}

/**
 * The removals after one is added. What the admin has stated up to the version that is held here still counts, or nothing at all
 * with `discard`. Throws NOT_FOUND, NOT_ADMIN or INVALID_ARGUMENT.
 */
export function removeAdmin(
  inForce: InForce,
  editor: Editor,
  { name, discard, reason }: { readonly name: string; readonly discard: boolean; readonly reason: string }
): { content: Partial<Content>; removed: Admin } {
  requireOwner(inForce, editor.key)
  const removed = inForce.admins.find(admin => admin.name === name || admin.key === name)
  const hint = '`warren admin list` lists the admins.'
  if (removed === undefined)
    throw new WarrenError(ErrorCode.NotFound, `no admin is named "${name.slice(0, 64)}"`, { hint })
  const { key, set } = removed
  if (key === editor.key) {
    throw new WarrenError(ErrorCode.InvalidArgument, 'this is the very admin of this host', {
      hint: 'Another owner removes it, on its own host.'
    })
  }
  if (removed.removal !== undefined && !discard) {
    throw new WarrenError(ErrorCode.InvalidArgument, `${name} is removed already`, {
      hint: 'With --discard, what it has stated no longer counts either.'
    })
  }
  if (discard && dependsOn(inForce, editor.key, key)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `this host is an owner by what ${name} has stated`, {
      hint: `Leave out --discard, and remove single statements: warren policy remove ${name}/ID.`
    })
  }
  checkReason(reason)
  const id = `d${nextVersion(editor.own)}`
  const counts = set !== undefined && !discard
  const removal = {
    id,
    key,
    sequence: counts ? set.version : 0n,
    sha256: counts ? set.sha256 : '',
    reason,
    createdAtMs: editor.nowMs
  }
  const others = (editor.own?.adminRemovals ?? []).filter(one => one.key !== key)
  return { content: { adminRemovals: [...others, removal] }, removed }
}

/** The admin of this key. Throws NOT_ADMIN if it has no rights, or no longer. */
export function requireAdmin({ admins }: Pick<InForce, 'admins'>, key: AdminKey | undefined): Admin {
  const admin = admins.find(one => one.key === key)
  if (admin === undefined) throw notAdmin()
  const { removal } = admin
  if (removal === undefined && admin.role === 'observer') throw observes(admin)
  if (removal === undefined) return admin
  const by = admins.find(one => one.key === removal.by)?.name ?? removal.by
  const because = removal.removal.reason === '' ? '' : `: ${removal.removal.reason}`
  throw new WarrenError(ErrorCode.NotAdmin, `${admin.name}, the admin of this host, was removed by ${by}${because}`, {
    hint: 'What this host signs has no effect any more. An owner may add a new key of this host: warren admin key --new.'
  })
}

/** Throws NOT_ADMIN if an admin of scopes may not state this. */
export function requireWithin(admin: Admin, former: Bundle | undefined, content: Partial<Content>): void {
  if (admin.role === 'owner') return
  if (content.strict === true || content.admins !== undefined || content.adminRemovals !== undefined)
    throw ownersOnly(admin)
  for (const list of ['rules', 'entries', 'revocations', 'invariants'] as const) {
    const known = new Set<string>(former?.[list].map(({ id }) => id))
    const why = (content[list] ?? [])
      .filter(({ id }) => !known.has(id))
      .map(statement => isOutside(admin, statement))
      .find(reason => reason !== undefined)
    if (why === undefined) continue
    throw new WarrenError(ErrorCode.NotAdmin, `${admin.name}, the admin of this host, may not state this: ${why}`, {
      hint: 'An admin of scopes names its scopes in the first part of each pattern. An owner may change them: warren admin add.'
    })
  }
}

function requireOwner(inForce: InForce, key: AdminKey): void {
  const admin = requireAdmin(inForce, key)
  if (admin.role !== 'owner') throw ownersOnly(admin)
}

function ownersOnly({ name }: Admin): WarrenError {
  return new WarrenError(ErrorCode.NotAdmin, `${name}, the admin of this host, is no owner`, {
    hint: 'Run the command on the host of an owner: `warren admin list` lists them.'
  })
}

function observes({ name }: Admin): WarrenError {
  return new WarrenError(ErrorCode.NotAdmin, `${name}, the admin of this host, is an observer, which changes nothing`, {
    hint: 'An owner may give it another role, with the same key: warren admin add.'
  })
}

function notAdmin(): WarrenError {
  return new WarrenError(ErrorCode.NotAdmin, 'this host does not hold the key of an admin', {
    hint: 'Run the command on the host that founded the trust domain, or make this one an admin: warren admin key.'
  })
}

// Whether `key` has its rights by a chain of grants through `by`.
function dependsOn({ admins }: InForce, key: AdminKey, by: AdminKey): boolean {
  const seen = new Set<AdminKey>()
  const reaches = (one: AdminKey): boolean => {
    if (one === by || seen.has(one)) return false
    seen.add(one)
    const admin = admins.find(other => other.key === one)
    return (
      admin?.name === ROOT_NAME ||
      admin?.grants.some(grant => grant.grant.role === 'owner' && reaches(grant.by)) === true
    )
  }
  return !reaches(key)
}

function grantFault(
  inForce: InForce,
  { name, key, role, scopes, reason }: NewGrant
): readonly [string, string] | undefined {
  checkReason(reason)
  if (!isAdminName(name)) {
    return [
      `"${name.slice(0, 64)}" is no name of an admin`,
      `A name has at most ${MAX_ADMIN_NAME_LENGTH} lower-case letters, digits and "-", begins with a letter, and is not "${ROOT_NAME}".`
    ]
  }
  if ((role === 'admin') !== scopes.length > 0) {
    return role === 'admin'
      ? ['an admin has at least one scope', 'As in: warren admin add bob --role admin --scope dev --key FILE']
      : [`the role ${role} has no scopes`, 'Leave out --scope, or choose the role admin.']
  }
  const known = inForce.admins.find(admin => admin.key === key)
  if (known?.removal !== undefined) {
    return [`the key of ${known.name} was removed for good`, 'Make a new key on its host: warren admin key --new.']
  }
  if (known?.name === ROOT_NAME) return ['this is the key of the founder', 'The founder is an owner already.']
  if (inForce.admins.some(admin => admin.name === name && admin.key !== key && admin.removal === undefined)) {
    return [`another admin is named ${name}`, 'Choose another name, or remove that admin first.']
  }
  return undefined
}

function withdraw({ own, nowMs }: Editor, what: ReadonlyArray<Pick<Withdrawal, 'author' | 'statement'>>): Withdrawal[] {
  const all = own?.withdrawals ?? []
  const wanted = what.filter(
    one => !all.some(({ author, statement }) => author === one.author && statement === one.statement)
  )
  const version = nextVersion(own)
  const added = wanted.map((one, at) => ({
    ...one,
    id: `w${version}${at === 0 ? '' : `.${at}`}`,
    reason: '',
    createdAtMs: nowMs
  }))
  return [...all, ...added]
}

function checkReason(reason: string): void {
  if (reason.length <= MAX_REASON_LENGTH) return
  throw new WarrenError(ErrorCode.InvalidArgument, `the reason is longer than ${MAX_REASON_LENGTH} characters`, {
    hint: 'Shorten it.'
  })
}
