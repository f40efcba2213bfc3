import { createPrivateKey } from 'node:crypto'
import { join } from 'node:path'
import type { AuditLog } from '../../src/audit/index.ts'
import { type Clock, ErrorCode, systemClock } from '../../src/core/index.ts'
import type { EventFields, EventName } from '../../src/events/index.ts'
import { CONTEXT, peerKeyOf, rawPublicKey, sign } from '../../src/identity/index.ts'
import { FLOW, handClock, openLog } from './support.ts'

/** The lines that the build of 2026-11-30 wrote of `STORY`. */
export const FORMER_LOG = join(import.meta.dirname, 'former-build.jsonl')

const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const key = createPrivateKey({ key: Buffer.concat([PKCS8, Buffer.alloc(32, 7)]), format: 'der', type: 'pkcs8' })
/** The host of that log. */
export const FORMER_HOST = { machine: 'a', trustDomain: 'example.org', peer: peerKeyOf(rawPublicKey(key)) }

const SHELL = { uid: 1000, pid: 4711, executable: '/opt/a "b"/\\c\u0001\u007f' }
const ENDED = { reason: 'ended', kind: 'ended', bytesIn: 1, bytesOut: 2 ** 40, durationMs: 0 }
const LOCAL: EventFields['flow-opened'] = {
  ...FLOW,
  flowId: 'local',
  direction: 'local',
  sourceProcess: SHELL,
  destinationProcess: { uid: 0, pid: 1 }
}

/** Milliseconds since the record before, and a record: of every form that a field can have. */
const STORY: readonly [number, EventName, EventFields[EventName]][] = [
  [0, 'flow-opened', FLOW],
  [0, 'flow-opened', LOCAL],
  [1, 'flow-ended', { ...FLOW, ...ENDED }],
  [998, 'flow-ended', { ...LOCAL, ...ENDED, reason: 'cut: "é", 日本, 🐇, \ud800, \u2028 and \n' }],
  [1, 'flow-refused', { ...FLOW, rule: '', code: ErrorCode.Unauthorized, reason: 'no rule' }],
  [0, 'flow-opened', { ...FLOW, sourceProcess: undefined, destinationProcess: undefined }],
  [0, 'flow-opened', { ...FLOW, sourceProcess: { uid: 5, pid: 6, executable: undefined } }],
  [59_000, 'flow-audited', { ...FLOW, rule: 'r9', reason: 'it is new' }],
  [0, 'flow-waits', { ...FLOW, windowMs: 120_000 }],
  [7, 'flow-resumed', { ...FLOW, carrier: 'mesh' }],
  [0, 'flow-ended', { ...FLOW, ...ENDED, carrier: 'mesh', kind: 'cut', reason: 'x'.repeat(9_000) }],
  [0, 'policy-changed', { version: 12n, reason: 'a rule' }],
  [86_400_000, 'trust-changed', { version: 3n, reason: 'y'.repeat(9_000), gone: Array(40).fill(FORMER_HOST.peer) }],
  [0, 'trust-changed', { version: 4n, reason: 'left', gone: [FORMER_HOST.peer] }],
  [0, 'token-created', { tokenId: 't', machine: 'b', uid: undefined, notAfterMs: 1_800_000_000_000 }],
  [0, 'policy-unheard', { boundMs: 0.5 }],
  [-5, 'eviction-undone', {}]
]

/** Opens a log of that host. */
export async function openFormerLog(path: string, clock: Clock = systemClock): Promise<AuditLog> {
  return await openLog(path, { clock, host: FORMER_HOST, sign: bytes => sign(key, CONTEXT.auditLog, bytes) })
}

/** Writes the story to a log. */
export async function tellStory(path: string): Promise<void> {
  const clock = handClock(1_764_500_000_001)
  const log = await openFormerLog(path, clock)
  for (const [ms, name, fields] of STORY) {
    clock.wall += ms
    log.add(name, fields)
  }
  await log.close()
}
