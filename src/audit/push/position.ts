import { hash } from 'node:crypto'
import type { AuditTarget } from '../../config/index.ts'
import { type ChainEnd, EMPTY_CHAIN } from '../line.ts'

/** What remembers how far a log was pushed: the database of the agent. */
export interface PositionStore {
  setting(name: string): Uint8Array | undefined
  setSetting(name: string, value: Uint8Array): void
}

const POSITION = /^(\d{1,16}):([0-9a-f]{64})$/

/** The last line that a receiver had got when this was saved; it may have got some more. */
export function positionOf(store: PositionStore, target: AuditTarget): ChainEnd {
  const saved = store.setting(settingOf(target))
  const [, seq, sha256] = POSITION.exec(saved === undefined ? '' : Buffer.from(saved).toString()) ?? []
  return seq === undefined || sha256 === undefined ? EMPTY_CHAIN : { seq: Number(seq), sha256 }
}

export function savePosition(store: PositionStore, target: AuditTarget, { seq, sha256 }: ChainEnd): void {
  store.setSetting(settingOf(target), Buffer.from(`${seq}:${sha256}`))
}

// An address can hold a secret, which has no place in the database.
function settingOf({ identity }: AuditTarget): string {
  return `audit-push ${hash('sha256', identity, 'hex').slice(0, 32)}`
}
