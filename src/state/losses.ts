import { randomBytes } from 'node:crypto'
import { lstatSync } from 'node:fs'
import { definedOnly, ErrorCode, type Logger, WarrenError } from '../core/index.ts'
import type { PeerKey } from '../identity/index.ts'
import { canBeWithout, lost, lostAll, type Place } from './cure.ts'
import { DATABASE, MANIFEST, VaultFile } from './names.ts'
import type { Store } from './store.ts'
import type { Vault } from './vault.ts'

/** The policy in force, signed. */
export const POLICY_SETTING = 'policy'
/** Set while the policy is lost and no other host has answered since. */
export const UNHEARD_SETTING = 'policy-unheard'
/** The owner of the database: the key of its host. */
/** The latest time that the agent has seen, in milliseconds, as decimal digits. */
export const CLOCK_SETTING = 'clock'
const HOST_SETTING = 'host'
const ACCEPT = 'start once with --accept-lost-state'

export interface LossOptions {
  /** The operator has chosen to continue without the lost files, if that is possible. */
  readonly accept: boolean
  readonly log: Logger
}

/**
 * Refuses a host whose database is missing, before a new one is made in its place or the files beside it are touched.
 *
 * Throws STATE_UNUSABLE unless `accept`.
 */
export function requireDatabaseFile(vault: Vault, accept: boolean): void {
  if (accept || !isMember(vault)) return
  const path = vault.path(DATABASE)
  const size = lstatSync(path, { throwIfNoEntry: false })?.size
  if (size !== undefined && size > 0) return
  const also = missingFiles(vault, { setting: () => undefined })
  throw databaseLost(path, size === undefined ? 'is missing' : 'is empty', vault, also)
}

/**
 * Refuses a host that has lost a file, according to its manifest. Files that an operator chose to continue without are noted as
 * removed.
 *
 * Throws STATE_UNUSABLE. Call it with the lock of the database.
 */
export function requireFiles(vault: Vault, store: Store, { accept, log }: LossOptions): void {
  const present = Object.values(VaultFile).filter(name => vault.has(name))
  const listed = vault.manifest.names()
  if (listed === undefined) {
    // Earlier agents had no manifest, and their databases no host.
    if ((present.length > 0 || hasRun(store)) && !isMember(vault)) throw lost(vault, VaultFile.NodeChain)
    if (store.setting(HOST_SETTING) !== undefined && !accept) {
      throw new WarrenError(ErrorCode.StateUnusable, `${vault.path(MANIFEST)} is missing`, {
        hint: `See that every other file of the state directory is there, and ${ACCEPT}: it is made anew from those.`
      })
    }
    vault.manifest.begin(present)
    return
  }
  // The chain is written last: without one the host never was a member, and its join starts again.
  const wasMember = listed.has(VaultFile.NodeChain) || listed.has(VaultFile.RenewedNode) || hasRun(store)
  if (!wasMember && !isMember(vault)) return
  const gone = missingFiles(vault, store)
  const refused = accept ? gone.filter(name => !canBeWithout(name)) : gone
  if (refused.length > 0) throw lostAll(vault, refused)
  if (!isMember(vault)) throw lost(vault, VaultFile.NodeChain)
  if (gone.length > 0) log.error('files of the state directory are lost, and accepted as lost', { missing: gone })
  if (gone.includes(VaultFile.PolicyBundle)) losePolicy(store)
  for (const name of listed) if (!vault.has(name as VaultFile)) vault.manifest.drop(name)
  if (gone.includes(VaultFile.NodeSecret)) vault.write(VaultFile.NodeSecret, randomBytes(32))
  for (const name of present) vault.manifest.add(name)
}

/** The files that a state directory had, and whose content is nowhere else. Throws STATE_UNUSABLE. */
export function missingFiles(vault: Vault, store: Pick<Store, 'setting'>): VaultFile[] {
  const listed = vault.manifest.names()
  const missing = Object.values(VaultFile).filter(name => listed?.has(name) === true && !vault.has(name))
  return missing.filter(name => !isReplaced(vault, store, name))
}

/**
 * Refuses a member whose database has no data of it, a new one in place of a lost one; returns whether the loss was accepted.
 *
 * Throws STATE_UNUSABLE for that, and for the database of another host.
 */
export function requireDatabaseOf(host: PeerKey, vault: Vault, store: Store, { accept, log }: LossOptions): boolean {
  const noted = store.setting(HOST_SETTING)
  const owner = noted === undefined ? undefined : Buffer.from(noted).toString('utf8')
  if (owner === host) return false
  if (owner !== undefined) {
    throw new WarrenError(ErrorCode.StateUnusable, `the database ${vault.path(DATABASE)} is of another host`, {
      hint: `Put back the right one, or remove this one and ${ACCEPT}; see "Lost state" in docs/backup.md.`
    })
  }
  // Earlier agents did not note it; the content of their databases shows it.
  const isLost = store.isBlank()
  if (isLost && !accept) throw databaseLost(vault.path(DATABASE), 'holds nothing of this host', vault)
  if (isLost) log.error('the database of this host is lost, and accepted as lost', { path: vault.path(DATABASE) })
  noteHost(store, host)
  return isLost
}

/** Notes the owner of a database, before its host is a member: a database without a note is never that of a member. */
export function noteHost(store: Store, host: PeerKey): void {
  store.setSetting(HOST_SETTING, Buffer.from(host))
}

/** Whether a database belongs to a host, for code that only reads it. */
export function requireSame(host: PeerKey, vault: Vault, store: Store): void {
  const noted = store.setting(HOST_SETTING)
  if (noted === undefined ? !store.isBlank() : Buffer.from(noted).toString('utf8') === host) return
  throw databaseLost(vault.path(DATABASE), 'holds nothing of this host', vault)
}

function isMember(vault: Vault): boolean {
  return vault.has(VaultFile.NodeChain) || vault.has(VaultFile.RenewedNode)
}

// No agent starts without a mark of its own, and it receives those of other hosts only later.
function hasRun(store: Store): boolean {
  return store.highWaterMarks().length > 0
}

// A policy in an older copy of the database counts no more than none: it is not in force, and no later one is based on it.
function losePolicy(store: Store): void {
  // A new one is empty, and must be found empty.
  if (store.isBlank()) return
  store.setSetting(UNHEARD_SETTING, Buffer.of(1))
  store.unset(POLICY_SETTING)
}

// Files whose content is elsewhere by now.
function isReplaced(vault: Vault, store: Pick<Store, 'setting'>, name: VaultFile): boolean {
  switch (name) {
    case VaultFile.NodeChain:
    case VaultFile.NodeKey:
      return vault.has(VaultFile.RenewedNode)
    case VaultFile.JwtKey:
      return vault.has(VaultFile.JwtKeys)
    case VaultFile.PolicyBundle: {
      // An older copy of the database has an older policy, and may lack an eviction or a revocation.
      const policy = store.setting(POLICY_SETTING)
      return policy !== undefined && vault.manifest.hadContent(name, policy)
    }
    default:
      return false
  }
}

// All that is lost at once: consent to one loss is consent to every one.
function databaseLost(path: string, why: string, place: Place, also: readonly VaultFile[] = []): WarrenError {
  const more =
    also.length === 0 ? '' : `; so ${also.length === 1 ? 'is' : 'are'} ${also.map(name => place.path(name)).join(', ')}`
  const essential = also.some(name => !canBeWithout(name))
  const policy = also.includes(VaultFile.PolicyBundle)
    ? ' Both copies of the policy are gone: until another host has said which one is in force, nothing is allowed and none is signed here.'
    : ''
  const hint = essential
    ? lostAll(place, also).hint
    : `Put ${also.length === 0 ? 'it' : 'them'} back from a backup, or ${ACCEPT}; "Lost state" in docs/backup.md says what that means.${policy}`
  return new WarrenError(
    ErrorCode.StateUnusable,
    `the database ${path} ${why}, and this host is a member already${more}`,
    definedOnly({ hint })
  )
}
