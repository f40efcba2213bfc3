import { type Audit, openAudit } from '../../audit/index.ts'
import { packageVersion } from '../../core/index.ts'
import { CONTEXT, sign } from '../../identity/index.ts'
import type { Base } from './base.ts'

const MEBIBYTE = 1_024 * 1_024

/** Opens the audit log, if the operator wants one. It is closed with the resources of the agent. Throws as `openAudit` does. */
export async function buildAudit(base: Omit<Base, 'audit' | 'tracer'>): Promise<Audit | undefined> {
  const { config, vault, store, membership, events, hostClock: clock, metrics, log, resources } = base
  const { machine, trustDomain, peerKey, credentials } = membership
  return await openAudit({
    config,
    directory: vault.directory,
    store,
    maxBytes: config.limits.audit.mebibytes * MEBIBYTE,
    host: { machine, trustDomain, peer: credentials.node.peer },
    version: packageVersion(),
    sign: bytes => sign(peerKey, CONTEXT.auditLog, bytes),
    onCheckpoint: () => events.emit('profile-changed', {}),
    clock,
    log,
    metrics,
    resources
  })
}
