import { chmodSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import {
  checkOutput,
  ErrorCode,
  fileFault,
  kindOf,
  makeDirectories,
  type OutputOptions,
  standsAt,
  syncDirectory,
  WarrenError,
  writeOutput
} from '../../core/index.ts'
import {
  DATABASE,
  isStateName,
  MANIFEST,
  Manifest,
  openDatabase,
  replaceFile,
  requireDatabaseFile,
  requireSame,
  Store,
  type Vault
} from '../../state/index.ts'
import { type BackupContent, collectState, decodeBackup, encodeBackup } from './content.ts'
import { isSealed, SealedKind, seal, unseal } from './sealed.ts'
import { whoseState } from './whose.ts'

/** A sealed copy of the whole state of a host while its agent runs. Throws like `seal`; STATE_UNUSABLE. */
export async function backupOf(
  parts: { readonly vault: Vault; readonly store: Store; readonly trustDomain: string; readonly machine: string },
  passphrase: string,
  nowMs: number
): Promise<Buffer> {
  const { vault, store, trustDomain, machine } = parts
  const files = collectState(vault, store)
  return await seal(SealedKind.Backup, encodeBackup({ trustDomain, machine, madeAtMs: nowMs, files }), passphrase)
}

/** Like `backupOf`, for a state directory that no agent uses. Throws also NOT_INITIALIZED. */
export async function backupStopped(stateDir: string, passphrase: string, nowMs: number): Promise<Buffer> {
  const { vault, trust, machine, peer } = whoseState(stateDir)
  requireDatabaseFile(vault, false)
  const store = new Store(openDatabase(vault.path(DATABASE)))
  try {
    requireSame(peer, vault, store)
    return await backupOf({ vault, store, trustDomain: trust.trustDomain, machine }, passphrase, nowMs)
  } finally {
    store.close()
  }
}

const OUTPUT: OutputOptions = {
  what: 'a backup',
  isSameKind: head => isSealed(SealedKind.Backup, head),
  pipeHint: 'Give - for standard output, and redirect that: warren backup - > PATH.'
}

/** Throws the error that `writeBackup` would throw for the file that is at a path now. */
export function checkBackupPath(path: string): void {
  checkOutput(path, OUTPUT)
}

/** Writes a backup to a file that a user named; replaces another backup there, at once and whole. Throws like `writeOutput`. */
export function writeBackup(path: string, sealed: Uint8Array): void {
  writeOutput(path, sealed, OUTPUT)
}

/** Opens a backup and writes nothing. Throws like `unseal`. */
export async function openBackup(sealed: Uint8Array, passphrase: string): Promise<BackupContent> {
  return decodeBackup(await unseal(SealedKind.Backup, sealed, passphrase))
}

/**
 * Creates a state directory from a backup, as a whole or not at all.
 *
 * Join tokens that were open when the backup was made are revoked in it: some may have been used since, and a token admits
 * only once. Throws ALREADY_EXISTS unless the directory is missing or empty; STATE_UNUSABLE.
 */
export function restoreState(stateDir: string, content: BackupContent, nowMs: number): void {
  const target = resolve(stateDir)
  const mode = requireFree(target)
  const staging = `${target}.restoring`
  clearStaging(staging)
  try {
    makeDirectories(staging, 0o700)
    const names = [...content.files.keys()]
    for (const name of names) replaceFile(join(staging, name), content.files.get(name) ?? Buffer.of())
    const store = new Store(openDatabase(join(staging, DATABASE)))
    try {
      store.joins.revokeOpenTokens(nowMs)
    } finally {
      store.close()
    }
    new Manifest(join(staging, MANIFEST)).begin(names.filter(name => name !== DATABASE))
    requireFree(target)
    // An existing directory keeps its mode.
    if (mode !== undefined) chmodSync(staging, mode)
    renameSync(staging, target)
    syncDirectory(dirname(target))
  } catch (err) {
    rmSync(staging, { recursive: true, force: true })
    if (err instanceof WarrenError) throw err
    const { why, hint } = fileFault(target, err)
    throw new WarrenError(ErrorCode.StateUnusable, `cannot restore into ${target}: ${why}`, { cause: err, hint })
  }
}

/** The mode of an existing empty directory; undefined if there is none. Throws ALREADY_EXISTS for everything else. */
function requireFree(path: string): number | undefined {
  const found = standsAt(path)
  if (found === undefined) return undefined
  let isEmpty = false
  try {
    isEmpty = found.isDirectory() && readdirSync(path).length === 0
  } catch {
    // This user may not read it, so it does not count as empty.
  }
  if (isEmpty) return found.mode & 0o777
  throw new WarrenError(ErrorCode.AlreadyExists, `${path} exists and is not an empty directory`, {
    hint: 'A restore overwrites nothing: stop the agent and move it away, or give another --state-dir.'
  })
}

// An interrupted restore left it, and no agent ever used it. A directory with other things in it is refused.
function clearStaging(path: string): void {
  const found = standsAt(path)
  if (found === undefined) return
  const isOurs = found.isDirectory() && found.uid === process.getuid?.() && readdirSync(path).every(isStateName)
  if (isOurs) rmSync(path, { recursive: true, force: true })
  else {
    throw new WarrenError(
      ErrorCode.AlreadyExists,
      `${path} exists and is ${kindOf(found)} that belongs to another user`,
      {
        hint: 'The state is put together there; move it away, or give another --state-dir.'
      }
    )
  }
}
