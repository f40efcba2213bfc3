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

interface Migration {
  /** Finds a row if the change has been made. */
  readonly made: string
  readonly change: string
  /** Made after the change, and again after an older program has written the database. */
  readonly fill?: string
}

const hasColumn = (column: string): string => `SELECT 1 FROM pragma_table_info('join_token') WHERE name = '${column}'`

/** Changes since the first version, in their order; `user_version` of the database has their number. */
const MIGRATIONS: readonly Migration[] = [
  {
    made: hasColumn('created_at_ms'),
    change: `ALTER TABLE join_token ADD COLUMN created_at_ms INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE join_token ADD COLUMN revoked_at_ms INTEGER;`
  },
  { made: hasColumn('used_by'), change: 'ALTER TABLE join_token ADD COLUMN used_by TEXT;' },
  // Since then a token may admit several hosts: each admission is a row of its own, in place of the two columns above.
  {
    made: hasColumn('uses'),
    change: `ALTER TABLE join_token ADD COLUMN uses INTEGER NOT NULL DEFAULT 1;
      ALTER TABLE join_token ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE join_token ADD COLUMN needs_approval INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE join_token ADD COLUMN networks TEXT NOT NULL DEFAULT '[]';
      CREATE TABLE join_use (
        source TEXT NOT NULL, keys TEXT NOT NULL, method TEXT NOT NULL, machine TEXT NOT NULL, peer TEXT NOT NULL,
        remote TEXT NOT NULL, used_at_ms INTEGER NOT NULL, ephemeral INTEGER NOT NULL, left_at_ms INTEGER,
        PRIMARY KEY (source, keys)) STRICT;
      CREATE INDEX join_use_machine ON join_use (machine, used_at_ms);
      CREATE INDEX join_use_peer ON join_use (peer);
      CREATE TABLE join_waiting (
        source TEXT NOT NULL, keys TEXT NOT NULL, method TEXT NOT NULL, via TEXT NOT NULL, machine TEXT NOT NULL,
        peer TEXT NOT NULL, remote TEXT NOT NULL, asked_at_ms INTEGER NOT NULL, seen_at_ms INTEGER NOT NULL,
        state TEXT NOT NULL, PRIMARY KEY (source, keys)) STRICT;
      CREATE TABLE join_trust (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, config TEXT NOT NULL, created_at_ms INTEGER NOT NULL) STRICT;`,
    fill: `INSERT OR IGNORE INTO join_use
      SELECT id, COALESCE(used_by, ''), 'token', machine,
        CASE WHEN instr(used_by, ' ') > 0 THEN substr(used_by, 1, instr(used_by, ' ') - 1) ELSE '' END,
        '', used_at_ms, 0, NULL
      FROM join_token WHERE used_at_ms IS NOT NULL;`
  }
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
      for (const migration of MIGRATIONS.slice(had)) migrate(database, migration)
      database.exec(`PRAGMA user_version = ${MIGRATIONS.length}; COMMIT`)
    } catch (err) {
      database.close()
      throw err
    }
    return database
  } catch (err) {
    throw err instanceof WarrenError ? err : storageError(path, err)
  }
}

// A program of the baseline notes its own version in a database that a newer one has changed. So the number alone does not say
// what was done.
function migrate(database: DatabaseSync, { made, change, fill }: Migration): void {
  if (database.prepare(made).get() === undefined) database.exec(change)
  if (fill !== undefined) database.exec(fill)
}

// Otherwise this program would note its own version there, and the newer one would take its changes for not made.
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
