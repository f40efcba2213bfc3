import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { Vault } from '../../state/index.ts'
import { ensureDirectory, openDatabase, replaceFile, Store, syncDirectory } from '../../state/index.ts'
import { type BackupContent, collectState, DATABASE, decodeBackup, encodeBackup } from './content.ts'
import { SealedKind, seal, unseal } from './sealed.ts'
import { whoseState } from './whose.ts'

/** A sealed copy of all that a host is, while its agent runs. Throws as `seal`; STATE_UNUSABLE. */
export async function backupOf(
  parts: { readonly vault: Vault; readonly store: Store; readonly trustDomain: string; readonly machine: string },
  passphrase: string,
  nowMs: number
): Promise<Buffer> {
  const { vault, store, trustDomain, machine } = parts
  const files = collectState(vault, store)
  return await seal(SealedKind.Backup, encodeBackup({ trustDomain, machine, madeAtMs: nowMs, files }), passphrase)
}

/** As `backupOf`, of a state directory that no agent uses. Throws also NOT_INITIALIZED. */
export async function backupStopped(stateDir: string, passphrase: string, nowMs: number): Promise<Buffer> {
  const { vault, trust, machine } = whoseState(stateDir)
  const store = new Store(openDatabase(vault.path(DATABASE)))
  try {
    return await backupOf({ vault, store, trustDomain: trust.trustDomain, machine }, passphrase, nowMs)
  } finally {
    store.close()
  }
}

/** Opens a backup and writes nothing. Throws as `unseal`. */
export async function openBackup(sealed: Uint8Array, passphrase: string): Promise<BackupContent> {
  return decodeBackup(await unseal(SealedKind.Backup, sealed, passphrase))
}

/**
 * Sets a state directory up from a backup, as a whole or not at all.
 *
 * Join tokens that were open when the backup was made are revoked in it: some may have been used since, and a token admits
 * once. Throws ALREADY_EXISTS unless the directory is missing or empty; STATE_UNUSABLE.
 */
export function restoreState(stateDir: string, content: BackupContent, nowMs: number): void {
  const target = resolve(stateDir)
  requireFree(target)
  const staging = `${target}.restoring`
  // Left by a restore that was interrupted; nobody ever ran on it.
  rmSync(staging, { recursive: true, force: true })
  ensureDirectory(staging, 0o700)
  try {
    for (const [name, bytes] of content.files) replaceFile(join(staging, name), bytes)
    const store = new Store(openDatabase(join(staging, DATABASE)))
    try {
      store.revokeOpenTokens(nowMs)
    } finally {
      store.close()
    }
    requireFree(target)
    renameSync(staging, target)
    syncDirectory(dirname(target))
  } catch (err) {
    rmSync(staging, { recursive: true, force: true })
    throw err
  }
}

function requireFree(path: string): void {
  if (!existsSync(path)) return
  let isEmpty = false
  try {
    isEmpty = readdirSync(path).length === 0
  } catch {
    // Not a directory, or not ours to look into: not free.
  }
  if (isEmpty) return
  throw new WarrenError(ErrorCode.AlreadyExists, `${path} exists and is not an empty directory`, {
    hint: 'A restore overwrites nothing: stop the agent and move it away, or give another --state-dir.'
  })
}
