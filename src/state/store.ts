import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { PeerKey } from '../identity/index.ts'
import type { HighWaterMark } from '../registry/index.ts'
import { ensurePrivateFile } from './files.ts'
import { JoinStore } from './join-store.ts'
import { Sql } from './sql.ts'

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
export class Store {
  /** Tokens and admissions. */
  readonly joins: JoinStore
  readonly #sql: Sql
  // Kept, since it runs for each received change, and takes longer to compile than to run.
  #raiseMark: StatementSync | undefined

  constructor(database: DatabaseSync) {
    this.#sql = new Sql(database)
    this.joins = new JoinStore(this.#sql)
  }

  setting(name: string): Uint8Array | undefined {
    const row = this.#sql.attempt(() =>
      this.#sql.database.prepare('SELECT value FROM setting WHERE name = ?').get(name)
    )
    return row?.['value'] instanceof Uint8Array ? row['value'] : undefined
  }

  setSetting(name: string, value: Uint8Array): void {
    this.#sql.run(
      'INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
      name,
      value
    )
  }

  /** Forgets a setting. */
  unset(name: string): void {
    this.#sql.run('DELETE FROM setting WHERE name = ?', name)
  }

  /** Whether nothing was ever remembered here. */
  isBlank(): boolean {
    const tables = ['setting', 'mark', 'member', 'join_token', 'join_use', 'join_trust']
    return tables.every(table => this.#sql.all(`SELECT 1 FROM ${table} LIMIT 1`).length === 0)
  }

  highWaterMarks(): HighWaterMark[] {
    const rows = this.#sql.attempt(() => {
      const statement = this.#sql.database.prepare('SELECT owner, epoch, seq, until_ms FROM mark')
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
      this.#raiseMark ??= this.#sql.database.prepare(RAISE_MARK)
      this.#raiseMark.run(owner, epoch, seq, untilMs ?? null)
    }
    const [highWaterMark, ...others] = highWaterMarks
    // A statement of its own is a transaction.
    if (highWaterMark !== undefined && others.length === 0) this.#sql.attempt(() => raise(highWaterMark))
    else this.#sql.transaction(() => highWaterMarks.forEach(raise))
  }

  deleteHighWaterMark(owner: PeerKey): void {
    this.#sql.run('DELETE FROM mark WHERE owner = ?', owner)
  }

  /** Those noted longest ago first. */
  members(): KnownMember[] {
    return this.#sql.all('SELECT peer, machine, addresses FROM member ORDER BY rowid').map(row => ({
      peer: String(row['peer']) as PeerKey,
      machine: String(row['machine']),
      addresses: String(row['addresses']).split('\n')
    }))
  }

  rememberMembers(members: readonly KnownMember[]): void {
    this.#sql.transaction(() => {
      // Not an update: the row is to become the newest one.
      const statement = this.#sql.database.prepare('INSERT OR REPLACE INTO member VALUES (?, ?, ?)')
      for (const { peer, machine, addresses } of members) statement.run(peer, machine, addresses.join('\n'))
    })
  }

  forgetMembers(peers: readonly PeerKey[]): void {
    this.#sql.transaction(() => {
      const statement = this.#sql.database.prepare('DELETE FROM member WHERE peer = ?')
      for (const peer of peers) statement.run(peer)
    })
  }

  /** Writes a consistent copy of the whole database to a file that does not exist yet; also while it is in use. */
  copyTo(path: string): void {
    ensurePrivateFile(path)
    this.#sql.run('VACUUM INTO ?', path)
  }

  close(): void {
    this.#sql.database.close()
  }
}
