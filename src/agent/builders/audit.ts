import { join } from 'node:path'
import { AUDIT_LOG, AuditLog } from '../../audit/index.ts'
import { packageVersion } from '../../core/index.ts'
import { CONTEXT, sign } from '../../identity/index.ts'
import type { Base } from './base.ts'

const MEBIBYTE = 1_024 * 1_024

/** Opens the audit log, if the operator wants one. It is closed with the resources of the agent. Throws STATE_UNUSABLE. */
export async function openAudit(base: Omit<Base, 'audit'>): Promise<AuditLog | undefined> {
  const { config, vault, membership, events, hostClock: clock, metrics, log, resources } = base
  const { machine, trustDomain, peerKey, credentials } = membership
  if (config.audit === undefined) return undefined
  const path = config.audit === 'on' ? join(vault.directory, AUDIT_LOG) : config.audit
  const audit = await AuditLog.open({
    path,
    maxBytes: config.limits.audit.mebibytes * MEBIBYTE,
    host: { machine, trustDomain, peer: credentials.node.peer },
    version: packageVersion(),
    sign: bytes => sign(peerKey, CONTEXT.auditLog, bytes),
    onCheckpoint: () => events.emit('profile-changed', {}),
    clock,
    log,
    metrics
  })
  resources.defer(() => audit.close())
  metrics.onRead(() => metrics.set('warren_audit_waiting', {}, audit.waiting))
  log.info('audit log opened', { path })
  return audit
}
