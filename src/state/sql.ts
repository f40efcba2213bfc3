import type { DatabaseSync, SQLInputValue, SQLOutputValue } from 'node:sqlite'
import { WarrenError } from '../core/index.ts'
import { storageError } from './database.ts'

export type Row = Record<string, SQLOutputValue>

/** Statements on the database of an agent. Every method is durable when it returns, or throws STATE_UNUSABLE. */
export class Sql {
  readonly database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.database = database
  }

  transaction<T>(work: () => T): T {
    return this.attempt(() => {
      this.database.exec('BEGIN IMMEDIATE')
      try {
        const result = work()
        this.database.exec('COMMIT')
        return result
      } catch (err) {
        // On a full disk SQLite ends the transaction itself.
        if (this.database.isTransaction) this.database.exec('ROLLBACK')
        throw err
      }
    })
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.attempt(() => this.database.prepare(sql).all(...values))
  }

  one(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.attempt(() => this.database.prepare(sql).get(...values))
  }

  /** The first column of a row with one number. */
  count(sql: string, ...values: SQLInputValue[]): number {
    return Number(Object.values(this.one(sql, ...values) ?? {})[0] ?? 0)
  }

  /** How many rows a statement changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return this.attempt(() => Number(this.database.prepare(sql).run(...values).changes))
  }

  attempt<T>(work: () => T): T {
    try {
      return work()
    } catch (err) {
      if (err instanceof WarrenError) throw err
      throw storageError(this.database.location() ?? '', err)
    }
  }
}
