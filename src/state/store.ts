import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import type { PeerKey, StoredToken, TokenStore } from '../identity/index.ts'
import type { HighWaterMark } from '../registry/index.ts'
import { storageError } from './database.ts'
import { ensurePrivateFile } from './files.ts'

/** A member that was seen, as a hint where to dial after a restart. */
export interface KnownMember {
  readonly peer: PeerKey
  readonly machine: string
  readonly addresses: readonly string[]
}

const RAISE_MARK = `
  INSERT INTO mark VALUES (?, ?, ?, ?)
  ON CONFLICT (owner) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, until_ms = excluded.until_ms
  WHERE excluded.epoch > epoch OR (excluded.epoch = epoch AND excluded.seq > seq)`

/** The memory of an agent besides its keys. Every method is durable when it returns, or throws STATE_UNUSABLE. */
export class Store implements TokenStore {
  readonly #db: DatabaseSync
  // Kept, since it runs for each received change, and takes longer to compile than to run.
  #raiseMark: StatementSync | undefined

  constructor(database: DatabaseSync) {
    this.#db = database
  }

  setting(name: string): Uint8Array | undefined {
    const row = this.#attempt(() => this.#db.prepare('SELECT value FROM setting WHERE name = ?').get(name))
    return row?.['value'] instanceof Uint8Array ? row['value'] : undefined
  }

  setSetting(name: string, value: Uint8Array): void {
    this.#run('INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value', name, value)
  }

  /** Forgets a setting. */
  unset(name: string): void {
    this.#run('DELETE FROM setting WHERE name = ?', name)
  }

  /** Whether nothing was ever remembered here. */
  isBlank(): boolean {
    const tables = ['setting', 'mark', 'member', 'join_token']
    return tables.every(table => this.#all(`SELECT 1 FROM ${table} LIMIT 1`).length === 0)
  }

  highWaterMarks(): HighWaterMark[] {
    const rows = this.#attempt(() => {
      const statement = this.#db.prepare('SELECT owner, epoch, seq, until_ms FROM mark')
      statement.setReadBigInts(true)
      return statement.all()
    })
    return rows.map(row => ({
      owner: String(row['owner']) as PeerKey,
      epoch: BigInt(row['epoch'] as bigint),
      seq: BigInt(row['seq'] as bigint),
      ...(row['until_ms'] === null ? {} : { untilMs: Number(row['until_ms']) })
    }))
  }

  /** Raises marks, all or none; a lower one than stored is left out. */
  raiseHighWaterMarks(highWaterMarks: readonly HighWaterMark[]): void {
    const raise = ({ owner, epoch, seq, untilMs }: HighWaterMark): void => {
      this.#raiseMark ??= this.#db.prepare(RAISE_MARK)
      this.#raiseMark.run(owner, epoch, seq, untilMs ?? null)
    }
    const [highWaterMark, ...others] = highWaterMarks
    // A statement of its own is a transaction.
    if (highWaterMark !== undefined && others.length === 0) this.#attempt(() => raise(highWaterMark))
    else this.#transaction(() => highWaterMarks.forEach(raise))
  }

  deleteHighWaterMark(owner: PeerKey): void {
    this.#run('DELETE FROM mark WHERE owner = ?', owner)
  }

  /** Those noted longest ago first. */
  members(): KnownMember[] {
    return this.#all('SELECT peer, machine, addresses FROM member ORDER BY rowid').map(row => ({
      peer: String(row['peer']) as PeerKey,
      machine: String(row['machine']),
      addresses: String(row['addresses']).split('\n')
    }))
  }

  rememberMembers(members: readonly KnownMember[]): void {
    this.#transaction(() => {
      // Not an update: the row is to become the newest one.
      const statement = this.#db.prepare('INSERT OR REPLACE INTO member VALUES (?, ?, ?)')
      for (const { peer, machine, addresses } of members) statement.run(peer, machine, addresses.join('\n'))
    })
  }

  forgetMembers(peers: readonly PeerKey[]): void {
    this.#transaction(() => {
      const statement = this.#db.prepare('DELETE FROM member WHERE peer = ?')
      for (const peer of peers) statement.run(peer)
    })
  }

  addToken(token: StoredToken): void {
    this.#run(
      `INSERT INTO join_token (id, secret_sha256, machine, scopes, expires_at_ms, created_at_ms)
       VALUES (?, ?, ?, ?, ?, ?)`,
      token.id,
      token.secretSha256,
      token.machine,
      JSON.stringify(token.scopes),
      token.expiresAtMs,
      token.createdAtMs
    )
  }

  find(tokenId: string): StoredToken | undefined {
    const row = this.#attempt(() => this.#db.prepare('SELECT * FROM join_token WHERE id = ?').get(tokenId))
    return row === undefined ? undefined : tokenOf(row)
  }

  /** Every token that is not forgotten, newest first. */
  tokens(): StoredToken[] {
    return this.#all('SELECT * FROM join_token ORDER BY created_at_ms DESC, id').map(tokenOf)
  }

  /** Makes a token useless; false if it was used or revoked already. */
  revokeToken(tokenId: string, nowMs: number): boolean {
    return (
      this.#run(
        'UPDATE join_token SET revoked_at_ms = ? WHERE id = ? AND used_at_ms IS NULL AND revoked_at_ms IS NULL',
        nowMs,
        tokenId
      ) === 1
    )
  }

  consume(tokenId: string, nowMs: number, usedBy: string): boolean {
    return (
      this.#run(
        'UPDATE join_token SET used_at_ms = ?, used_by = ? WHERE id = ? AND used_at_ms IS NULL AND revoked_at_ms IS NULL',
        nowMs,
        usedBy,
        tokenId
      ) === 1
    )
  }

  hasJoinedSince(machine: string, usedAtMs: number): boolean {
    return (
      this.#all('SELECT 1 FROM join_token WHERE machine = ? AND used_at_ms > ? LIMIT 1', machine, usedAtMs).length > 0
    )
  }

  /** Forgets tokens that ended before `beforeMs`, so that the table does not grow forever. */
  forgetTokens(beforeMs: number): void {
    this.#run('DELETE FROM join_token WHERE expires_at_ms < ?', beforeMs)
  }

  /** Makes every unused token useless: an old copy does not know which were used since. */
  revokeOpenTokens(nowMs: number): void {
    this.#run('UPDATE join_token SET revoked_at_ms = ? WHERE used_at_ms IS NULL AND revoked_at_ms IS NULL', nowMs)
  }

  /** Writes a consistent copy of the whole database to a file that does not exist yet; also while it is in use. */
  copyTo(path: string): void {
    ensurePrivateFile(path)
    this.#run('VACUUM INTO ?', path)
  }

  close(): void {
    this.#db.close()
  }

  #transaction(work: () => void): void {
    this.#attempt(() => {
      this.#db.exec('BEGIN IMMEDIATE')
      try {
        work()
        this.#db.exec('COMMIT')
      } catch (err) {
        // On a full disk SQLite ends the transaction itself.
        if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
        throw err
      }
    })
  }

  #all(sql: string, ...values: SQLInputValue[]): Record<string, SQLOutputValue>[] {
    return this.#attempt(() => this.#db.prepare(sql).all(...values))
  }

  /** How many rows a statement changed. */
  #run(sql: string, ...values: SQLInputValue[]): number {
    return this.#attempt(() => Number(this.#db.prepare(sql).run(...values).changes))
  }

  #attempt<T>(work: () => T): T {
    try {
      return work()
    } catch (err) {
      throw storageError(this.#db.location() ?? '', err)
    }
  }
}

function tokenOf(row: Record<string, SQLOutputValue>): StoredToken {
  const time = (name: string): number | undefined => (row[name] === null ? undefined : Number(row[name]))
  return {
    id: String(row['id']),
    secretSha256: String(row['secret_sha256']),
    machine: String(row['machine']),
    scopes: JSON.parse(String(row['scopes'])) as string[],
    createdAtMs: Number(row['created_at_ms']),
    expiresAtMs: Number(row['expires_at_ms']),
    usedAtMs: time('used_at_ms'),
    usedBy: row['used_by'] === null ? undefined : String(row['used_by']),
    revokedAtMs: time('revoked_at_ms')
  }
}
