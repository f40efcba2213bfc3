import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import type { PeerKey, StoredToken, TokenStore } from '../../identity/index.ts'

/** The newest state ever seen of an owner; older state stays dead for as long as this is kept. */
export interface HighWaterMark {
  readonly owner: PeerKey
  readonly epoch: bigint
  readonly seq: bigint
  /** When the mark may be forgotten, wall milliseconds; unknown: as late as possible. */
  readonly untilMs?: number
}

/** A member that was seen, as a hint where to dial after a restart. */
export interface KnownMember {
  readonly peer: PeerKey
  readonly machine: string
  readonly addresses: readonly string[]
}

/** What an agent remembers besides its keys. Every method is durable when it returns. */
export class Store implements TokenStore {
  readonly #db: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#db = database
  }

  setting(name: string): Uint8Array | undefined {
    const row = this.#db.prepare('SELECT value FROM setting WHERE name = ?').get(name)
    return row?.['value'] instanceof Uint8Array ? row['value'] : undefined
  }

  setSetting(name: string, value: Uint8Array): void {
    this.#db
      .prepare('INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value')
      .run(name, value)
  }

  marks(): HighWaterMark[] {
    const statement = this.#db.prepare('SELECT owner, epoch, seq, until_ms FROM mark')
    statement.setReadBigInts(true)
    return statement.all().map(row => ({
      owner: String(row['owner']) as PeerKey,
      epoch: BigInt(row['epoch'] as bigint),
      seq: BigInt(row['seq'] as bigint),
      ...(row['until_ms'] === null ? {} : { untilMs: Number(row['until_ms']) })
    }))
  }

  /** Raises marks, all or none; a lower one than stored is left out. */
  raiseMarks(marks: readonly HighWaterMark[]): void {
    const statement = this.#db.prepare(
      `INSERT INTO mark VALUES (?, ?, ?, ?)
       ON CONFLICT (owner) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, until_ms = excluded.until_ms
       WHERE excluded.epoch > epoch OR (excluded.epoch = epoch AND excluded.seq > seq)`
    )
    this.#transaction(() => {
      for (const { owner, epoch, seq, untilMs } of marks) statement.run(owner, epoch, seq, untilMs ?? null)
    })
  }

  forgetMark(owner: PeerKey): void {
    this.#db.prepare('DELETE FROM mark WHERE owner = ?').run(owner)
  }

  members(): KnownMember[] {
    return this.#db
      .prepare('SELECT peer, machine, addresses FROM member')
      .all()
      .map(row => ({
        peer: String(row['peer']) as PeerKey,
        machine: String(row['machine']),
        addresses: String(row['addresses']).split('\n')
      }))
  }

  rememberMembers(members: readonly KnownMember[]): void {
    const statement = this.#db.prepare(
      `INSERT INTO member VALUES (?, ?, ?)
       ON CONFLICT (peer) DO UPDATE SET machine = excluded.machine, addresses = excluded.addresses`
    )
    this.#transaction(() => {
      for (const { peer, machine, addresses } of members) statement.run(peer, machine, addresses.join('\n'))
    })
  }

  forgetMembers(peers: readonly PeerKey[]): void {
    const statement = this.#db.prepare('DELETE FROM member WHERE peer = ?')
    this.#transaction(() => {
      for (const peer of peers) statement.run(peer)
    })
  }

  addToken(token: StoredToken): void {
    this.#db
      .prepare(
        `INSERT INTO join_token (id, secret_sha256, machine, scopes, expires_at_ms, created_at_ms)
         VALUES (?, ?, ?, ?, ?, ?)`
      )
      .run(
        token.id,
        token.secretSha256,
        token.machine,
        JSON.stringify(token.scopes),
        token.expiresAtMs,
        token.createdAtMs
      )
  }

  find(tokenId: string): StoredToken | undefined {
    const row = this.#db.prepare('SELECT * FROM join_token WHERE id = ?').get(tokenId)
    return row === undefined ? undefined : tokenOf(row)
  }

  /** Every token that is not forgotten, newest first. */
  tokens(): StoredToken[] {
    return this.#db.prepare('SELECT * FROM join_token ORDER BY created_at_ms DESC, id').all().map(tokenOf)
  }

  /** Makes a token useless; false if it was used or revoked already. */
  revokeToken(tokenId: string, nowMs: number): boolean {
    const { changes } = this.#db
      .prepare('UPDATE join_token SET revoked_at_ms = ? WHERE id = ? AND used_at_ms IS NULL AND revoked_at_ms IS NULL')
      .run(nowMs, tokenId)
    return Number(changes) === 1
  }

  consume(tokenId: string, nowMs: number): boolean {
    const { changes } = this.#db
      .prepare('UPDATE join_token SET used_at_ms = ? WHERE id = ? AND used_at_ms IS NULL AND revoked_at_ms IS NULL')
      .run(nowMs, tokenId)
    return Number(changes) === 1
  }

  /** Forgets tokens that ended before `beforeMs`, so that the table does not grow for ever. */
  forgetTokens(beforeMs: number): void {
    this.#db.prepare('DELETE FROM join_token WHERE expires_at_ms < ?').run(beforeMs)
  }

  close(): void {
    this.#db.close()
  }

  #transaction(work: () => void): void {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      work()
      this.#db.exec('COMMIT')
    } catch (err) {
      this.#db.exec('ROLLBACK')
      throw err
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
    revokedAtMs: time('revoked_at_ms')
  }
}
