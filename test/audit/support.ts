import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AuditLog, type AuditLogOptions } from '../../src/audit/index.ts'
import { type Clock, silentLogger, silentMetrics, systemClock } from '../../src/core/index.ts'
import type { EventFields } from '../../src/events/index.ts'
import { CONTEXT, generatePeerKeyPair, peerKeyOf, rawPublicKey, sign } from '../../src/identity/index.ts'

export const KEY = generatePeerKeyPair()
export const PEER = peerKeyOf(rawPublicKey(KEY))

export const FLOW: EventFields['flow-opened'] = {
  flowId: 'f0',
  direction: 'outbound',
  source: 'dev.web.site.default.a',
  destination: 'dev.db.main.default.b',
  protocol: 'tcp',
  carrier: 'direct',
  rule: 'r1',
  sourceProcess: { uid: 1000, pid: 77, executable: '/usr/bin/curl' }
}

/** A log at `path`, of a host with the key above. */
export async function openLog(path: string, options: Partial<AuditLogOptions> = {}): Promise<AuditLog> {
  return await AuditLog.open({
    path,
    maxBytes: 64 * 1_024 * 1_024,
    host: { machine: 'a', trustDomain: 'example.org', peer: PEER },
    version: '1.0.0',
    sign: bytes => sign(KEY, CONTEXT.auditLog, bytes),
    onCheckpoint: () => {},
    clock: systemClock,
    log: silentLogger,
    metrics: silentMetrics,
    ...options
  })
}

/** A clock that tells `wallMs`, which the test moves. */
export function handClock(wallMs: number): Clock & { wall: number } {
  const clock = { ...systemClock, wall: wallMs, wallMs: () => clock.wall }
  return clock
}

/** The lines of all files of the log in a directory, oldest first. */
export function linesIn(directory: string): string[] {
  const names = readdirSync(directory).sort((one, other) =>
    one === 'audit.log' ? 1 : other === 'audit.log' ? -1 : one < other ? -1 : 1
  )
  return names.flatMap(name => readFileSync(join(directory, name), 'utf8').split('\n').slice(0, -1))
}

export interface Line {
  readonly seq: number
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

export function recordsIn(directory: string): Line[] {
  return linesIn(directory).map(line => JSON.parse(line) as Line)
}
