import { ErrorCode, WarrenError } from '../core/index.ts'
import type { JoinLedger, JoinMethod, JoinUse, PeerKey, StoredToken, WaitingHost } from '../identity/index.ts'
import type { Row, Sql } from './sql.ts'

/** The most admissions that one authority keeps. */
export const MAX_KEPT_JOINS = 65_536
/** The most hosts that wait at one authority. */
export const MAX_WAITING_HOSTS = 1_024
/** The most hosts that wait by one certificate or OIDC trust. */
const MAX_WAITING_PER_TRUST = 256
/** A host that waits has this long to be admitted. */
export const WAITING_MS = 24 * 3_600_000
/** A host that has not asked for this long waits no more. */
const UNSEEN_MS = 3_600_000
/** A later sign of life of a waiting host is noted after this long. */
const NOTE_MS = 60_000
// The name of a host that was admitted is its own for as long as its certificate could be renewed.
const KEEP_MS = 200 * 24 * 3_600_000
const KEEP_EPHEMERAL_MS = 8 * 24 * 3_600_000

/** A CA or an issuer whose proofs admit hosts, as it is stored. */
export interface StoredTrust {
  readonly id: string
  readonly kind: string
  /** JSON. */
  readonly config: string
  readonly createdAtMs: number
}

/** Tokens, admissions, hosts that wait, and the trusted CAs and issuers of an authority. Every method is durable when it returns. */
export class JoinStore implements JoinLedger {
  readonly #sql: Sql

  constructor(sql: Sql) {
    this.#sql = sql
  }

  addToken(token: StoredToken): void {
    this.#sql.run(
      `INSERT INTO join_token (id, secret_sha256, machine, scopes, expires_at_ms, created_at_ms, uses, ephemeral,
         needs_approval, networks)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      token.id,
      token.secretSha256,
      token.machine,
      JSON.stringify(token.scopes),
      token.expiresAtMs,
      token.createdAtMs,
      token.uses ?? 1,
      Number(token.ephemeral ?? false),
      Number(token.needsApproval ?? false),
      JSON.stringify(token.from ?? [])
    )
  }

  find(tokenId: string): StoredToken | undefined {
    const row = this.#sql.one('SELECT * FROM join_token WHERE id = ?', tokenId)
    return row === undefined ? undefined : tokenOf(row)
  }

  /** Every token that is not forgotten, newest first. */
  tokens(): StoredToken[] {
    return this.#sql.all('SELECT * FROM join_token ORDER BY created_at_ms DESC, id').map(tokenOf)
  }

  /** Makes a token useless; false if it has no use left or was revoked already. */
  revokeToken(tokenId: string, nowMs: number): boolean {
    return this.#sql.run(`UPDATE join_token SET revoked_at_ms = ? WHERE id = ? AND ${IS_OPEN}`, nowMs, tokenId) === 1
  }

  /** Makes every token with a use left useless: an old copy does not know which were used since. */
  revokeOpenTokens(nowMs: number): void {
    this.#sql.run(`UPDATE join_token SET revoked_at_ms = ? WHERE ${IS_OPEN}`, nowMs)
    this.#sql.run('DELETE FROM join_waiting')
  }

  /** Forgets tokens that ended before `beforeMs`, and admissions that no longer reserve a name. */
  forget(beforeMs: number, nowMs: number): void {
    this.#sql.transaction(() => {
      this.#sql.run('DELETE FROM join_token WHERE expires_at_ms < ?', beforeMs)
      this.#sql.run(
        `DELETE FROM join_use WHERE used_at_ms < CASE WHEN ephemeral = 1 THEN ? ELSE ? END
         AND NOT EXISTS (SELECT 1 FROM join_token WHERE id = source)`,
        nowMs - KEEP_EPHEMERAL_MS,
        nowMs - KEEP_MS
      )
    })
  }

  spend(use: JoinUse, uses: number | undefined): boolean {
    return this.#sql.transaction(() => {
      if (use.method === 'token') {
        const token = this.find(use.source)
        if (token === undefined || token.revokedAtMs !== undefined) return false
      }
      const spent = this.#sql.count('SELECT COUNT(*) FROM join_use WHERE source = ?', use.source)
      if (uses !== undefined && spent >= uses) return false
      if (this.#sql.count('SELECT COUNT(*) FROM join_use') >= MAX_KEPT_JOINS) {
        throw new WarrenError(ErrorCode.LimitExceeded, `this authority already keeps ${MAX_KEPT_JOINS} admissions`, {
          limit: 'kept_joins',
          hint: 'Admit hosts at another authority, or wait until earlier admissions are forgotten.'
        })
      }
      const { source, keys, method, machine, peer, remote, usedAtMs, ephemeral } = use
      this.#sql.run(
        'INSERT INTO join_use VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)',
        source,
        keys,
        method,
        machine,
        peer,
        remote,
        usedAtMs,
        Number(ephemeral)
      )
      this.#sql.run('DELETE FROM join_waiting WHERE source = ? AND keys = ?', source, keys)
      return true
    })
  }

  /** The admissions by one proof, oldest first. */
  usesOf(source: string): JoinUse[] {
    return this.#sql.all('SELECT * FROM join_use WHERE source = ? ORDER BY used_at_ms, rowid', source).map(useOf)
  }

  /** How many uses of each token are spent. */
  usedOfTokens(): ReadonlyMap<string, { readonly used: number; readonly lastMs: number }> {
    const rows = this.#sql.all(
      "SELECT source, COUNT(*) AS used, MAX(used_at_ms) AS last FROM join_use WHERE method = 'token' GROUP BY source"
    )
    return new Map(rows.map(row => [String(row['source']), { used: Number(row['used']), lastMs: Number(row['last']) }]))
  }

  lastOf(machine: string): JoinUse | undefined {
    const row = this.#sql.one(
      'SELECT * FROM join_use WHERE machine = ? ORDER BY used_at_ms DESC, rowid DESC LIMIT 1',
      machine
    )
    return row === undefined ? undefined : useOf(row)
  }

  /** Whether a host was admitted here under this name after a time. */
  hasJoinedSince(machine: string, sinceMs: number): boolean {
    return (this.lastOf(machine)?.usedAtMs ?? Number.NEGATIVE_INFINITY) > sinceMs
  }

  /** Notes that an ephemeral host has left, or is here again. */
  noteLeft(peer: PeerKey, leftAtMs: number | undefined): void {
    const has = leftAtMs === undefined ? 'NOT NULL' : 'NULL'
    // Most hosts are not ephemeral: nothing is written for those.
    const where = `peer = ? AND ephemeral = 1 AND left_at_ms IS ${has}`
    if (this.#sql.one(`SELECT 1 FROM join_use WHERE ${where} LIMIT 1`, peer) === undefined) return
    this.#sql.run(`UPDATE join_use SET left_at_ms = ? WHERE ${where}`, leftAtMs ?? null, peer)
  }

  /** The hosts that wait or were refused, longest ago first. */
  waiting(): WaitingHost[] {
    return this.#sql.all('SELECT * FROM join_waiting ORDER BY asked_at_ms, rowid').map(waitingOf)
  }

  waitingCount(): number {
    return this.#sql.count('SELECT COUNT(*) FROM join_waiting')
  }

  waitingFor(source: string, keys: string): WaitingHost | undefined {
    const row = this.#sql.one('SELECT * FROM join_waiting WHERE source = ? AND keys = ?', source, keys)
    return row === undefined ? undefined : waitingOf(row)
  }

  waitingAs(machine: string): WaitingHost | undefined {
    const row = this.#sql.one("SELECT * FROM join_waiting WHERE machine = ? AND state != 'refused' LIMIT 1", machine)
    return row === undefined ? undefined : waitingOf(row)
  }

  wait(host: WaitingHost, most = MAX_WAITING_PER_TRUST): void {
    const known = this.waitingFor(host.source, host.keys)
    if (known !== undefined) {
      if (host.seenAtMs - known.seenAtMs < NOTE_MS) return
      const sql = 'UPDATE join_waiting SET seen_at_ms = ? WHERE source = ? AND keys = ?'
      this.#sql.run(sql, host.seenAtMs, host.source, host.keys)
      return
    }
    this.forgetWaiting(host.askedAtMs)
    const sameProof = this.#sql.count('SELECT COUNT(*) FROM join_waiting WHERE via = ?', host.via)
    if (sameProof >= most || this.#sql.count('SELECT COUNT(*) FROM join_waiting') >= MAX_WAITING_HOSTS) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many hosts wait to be admitted', {
        limit: 'waiting_hosts',
        hint: '`warren admit --list` on the authority lists them.'
      })
    }
    const { source, keys, method, via, machine, peer, remote, askedAtMs, seenAtMs, state } = host
    const sql = 'INSERT INTO join_waiting VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
    this.#sql.run(sql, source, keys, method, via, machine, peer, remote, askedAtMs, seenAtMs, state)
  }

  decideWaiting({ source, keys }: WaitingHost, state: 'admitted' | 'refused'): void {
    this.#sql.run('UPDATE join_waiting SET state = ? WHERE source = ? AND keys = ?', state, source, keys)
  }

  /** Forgets hosts whose time to be admitted is over, and those that no longer ask. */
  forgetWaiting(nowMs: number): void {
    const sql = "DELETE FROM join_waiting WHERE asked_at_ms < ? OR (state = 'waiting' AND seen_at_ms < ?)"
    this.#sql.run(sql, nowMs - WAITING_MS, nowMs - UNSEEN_MS)
  }

  trusts(): StoredTrust[] {
    return this.#sql.all('SELECT * FROM join_trust ORDER BY created_at_ms, id').map(row => ({
      id: String(row['id']),
      kind: String(row['kind']),
      config: String(row['config']),
      createdAtMs: Number(row['created_at_ms'])
    }))
  }

  addTrust({ id, kind, config, createdAtMs }: StoredTrust): void {
    this.#sql.run('INSERT INTO join_trust VALUES (?, ?, ?, ?)', id, kind, config, createdAtMs)
  }

  removeTrust(id: string): void {
    this.#sql.transaction(() => {
      this.#sql.run('DELETE FROM join_trust WHERE id = ?', id)
      this.#sql.run('DELETE FROM join_waiting WHERE via = ?', id)
    })
  }
}

const IS_OPEN = 'revoked_at_ms IS NULL AND (SELECT COUNT(*) FROM join_use WHERE source = join_token.id) < uses'

function tokenOf(row: Row): StoredToken {
  return {
    id: String(row['id']),
    secretSha256: String(row['secret_sha256']),
    machine: String(row['machine']),
    scopes: JSON.parse(String(row['scopes'])) as string[],
    createdAtMs: Number(row['created_at_ms']),
    expiresAtMs: Number(row['expires_at_ms']),
    revokedAtMs: time(row['revoked_at_ms']),
    uses: Number(row['uses']),
    ephemeral: row['ephemeral'] === 1,
    needsApproval: row['needs_approval'] === 1,
    from: JSON.parse(String(row['networks'])) as string[]
  }
}

function useOf(row: Row): JoinUse {
  return {
    ...hostOf(row),
    usedAtMs: Number(row['used_at_ms']),
    ephemeral: row['ephemeral'] === 1,
    leftAtMs: time(row['left_at_ms'])
  }
}

function waitingOf(row: Row): WaitingHost {
  return {
    ...hostOf(row),
    via: String(row['via']),
    askedAtMs: Number(row['asked_at_ms']),
    seenAtMs: Number(row['seen_at_ms']),
    state: String(row['state']) as WaitingHost['state']
  }
}

function hostOf(row: Row): Pick<JoinUse, 'source' | 'keys' | 'method' | 'machine' | 'peer' | 'remote'> {
  return {
    source: String(row['source']),
    keys: String(row['keys']),
    method: String(row['method']) as JoinMethod,
    machine: String(row['machine']),
    peer: String(row['peer']) as PeerKey,
    remote: String(row['remote'])
  }
}

function time(value: Row[string] | undefined): number | undefined {
  return value === null || value === undefined ? undefined : Number(value)
}
