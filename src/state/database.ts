import { DatabaseSync } from 'node:sqlite'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { ensurePrivateFile } from './files.ts'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS mark (owner TEXT PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, until_ms INTEGER) STRICT;
  CREATE TABLE IF NOT EXISTS member (peer TEXT PRIMARY KEY, machine TEXT NOT NULL, addresses TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS join_token (
    id TEXT PRIMARY KEY, secret_sha256 TEXT NOT NULL, machine TEXT NOT NULL, scopes TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL, used_at_ms INTEGER) STRICT;
`

/** Changes since the first version, in their order; `user_version` of the database has their number. */
const MIGRATIONS = [
  `ALTER TABLE join_token ADD COLUMN created_at_ms INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE join_token ADD COLUMN revoked_at_ms INTEGER;`,
  'ALTER TABLE join_token ADD COLUMN used_by TEXT;'
]

/**
 * Opens the one database of a state directory, for this process alone.
 *
 * Every statement is on disk when it returns. Throws STATE_UNUSABLE when another agent has it open (two agents on one
 * state would use one epoch twice), when it is damaged or open to other users, when a newer program has
 * changed its form, or when it cannot be written.
 */
export function openDatabase(path: string): DatabaseSync {
  // SQLite gives its other files the mode of this one.
  ensurePrivateFile(path)
  try {
    const database = new DatabaseSync(path, { timeout: 1_000 })
    try {
      database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
      database.exec(`BEGIN EXCLUSIVE; ${SCHEMA}`)
      // Without this, a cut-off part would only be noticed when it is read, which may be weeks later.
      const [check] = database.prepare('PRAGMA quick_check(1)').all()
      if (check?.['quick_check'] !== 'ok')
        throw new Error(`database disk image is malformed: ${check?.['quick_check']}`)
      const had = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0)
      if (had > MIGRATIONS.length) throw newerProgram(path)
      database.exec(`${MIGRATIONS.slice(had).join('')} PRAGMA user_version = ${MIGRATIONS.length}; COMMIT`)
    } catch (err) {
      database.close()
      throw err
    }
    return database
  } catch (err) {
    throw err instanceof WarrenError ? err : storageError(path, err)
  }
}

// Otherwise this program would note its own version there, and the newer one would make its changes a second time.
function newerProgram(path: string): WarrenError {
  return new WarrenError(ErrorCode.StateUnusable, `a newer version of warren has written the database ${path}`, {
    hint: 'Start the newer program, or restore the backup from before the upgrade: docs/upgrade.md.'
  })
}

/** The error of the database, with a hint. */
export function storageError(path: string, err: unknown): WarrenError {
  const text = err instanceof Error ? err.message : String(err)
  if (/locked|busy/i.test(text)) {
    return new WarrenError(ErrorCode.StateUnusable, `another agent uses the database ${path}`, {
      cause: err,
      hint: 'Stop it, or give this one its own --state-dir.'
    })
  }
  const hint = /full/i.test(text)
    ? 'The disk is full: free some space. An agent that runs continues then; one that was to start is started again.'
    : /readonly/i.test(text)
      ? 'The file system is read-only, or the file is not of this user: correct that.'
      : /unable to open/i.test(text)
        ? 'This process may have no file descriptors left (ulimit -n), or may not read the file.'
        : /disk I\/O/i.test(text)
          ? 'The disk is full or reports an error: free some space, and look into the log of the kernel (dmesg).'
          : /malformed|not a database|corrupt/i.test(text)
            ? 'Put it back from a backup, or move it and its -wal away and start once with --accept-lost-state; see "Lost state" in docs/backup.md.'
            : undefined
  return new WarrenError(ErrorCode.StateUnusable, `cannot use the database ${path}: ${text}`, {
    cause: err,
    ...(hint === undefined ? {} : { hint })
  })
}
