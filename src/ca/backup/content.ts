import { join } from 'node:path'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import {
  DATABASE,
  lost,
  missingFiles,
  readIfPresent,
  removeFile,
  type Store,
  type Vault,
  VaultFile
} from '../../state/index.ts'
import { backupPb, create, decode, toBinary } from '../../wire/index.ts'
import { MAX_SEALED_BYTES } from './sealed.ts'

const COPY = 'warren.db.copy'
const NAMES: ReadonlySet<string> = new Set([...Object.values(VaultFile), DATABASE])

export interface BackupContent {
  readonly trustDomain: string
  readonly machine: string
  readonly madeAtMs: number
  readonly files: ReadonlyMap<string, Uint8Array>
}

/** Every file of a state directory, and a snapshot of the database. Throws STATE_UNUSABLE, also when one of them is missing. */
export function collectState(vault: Vault, store: Pick<Store, 'copyTo' | 'setting'>): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  const [missing] = missingFiles(vault, store)
  if (missing !== undefined) throw lost(vault, missing)
  for (const name of Object.values(VaultFile)) {
    const content = vault.read(name)
    if (content !== undefined) files.set(name, content)
  }
  const copy = join(vault.directory, COPY)
  // A copy that an interrupted backup has left would stop every later one.
  removeFile(copy)
  try {
    store.copyTo(copy)
    const database = readIfPresent(copy)
    if (database === undefined) throw new WarrenError(ErrorCode.StateUnusable, `${copy} has vanished`)
    files.set(DATABASE, database)
  } finally {
    removeFile(copy)
  }
  return files
}

export function encodeBackup({ trustDomain, machine, madeAtMs, files }: BackupContent): Uint8Array {
  return toBinary(
    backupPb.BackupSchema,
    create(backupPb.BackupSchema, {
      trustDomain,
      machine,
      madeAtMs: BigInt(madeAtMs),
      files: [...files].map(([name, content]) => ({ name, content }))
    })
  )
}

/** Throws FILE_DAMAGED for content that no backup has, such as a name that leads out of the directory. */
export function decodeBackup(bytes: Uint8Array): BackupContent {
  const { trustDomain, machine, madeAtMs, files: list } = decode(backupPb.BackupSchema, bytes, MAX_SEALED_BYTES)
  const files = new Map(list.map(({ name, content }) => [name, content]))
  if (files.size !== list.length || ![...files.keys()].every(name => NAMES.has(name))) {
    throw new WarrenError(ErrorCode.FileDamaged, 'the file names files that a state directory does not have', {
      hint: 'A newer warren may have written it: restore it with that one.'
    })
  }
  return { trustDomain, machine, madeAtMs: Number(madeAtMs), files }
}
