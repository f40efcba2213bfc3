import { join } from 'node:path'
import type { AgentConfig } from '../config/index.ts'
import type { GaugeName, LabelsOf, Metrics } from '../core/index.ts'
import type { EventSource } from '../events/index.ts'
import { AUDIT_LOG } from './files.ts'
import type { ChainEnd } from './line.ts'
import { AuditLog } from './log.ts'
import type { AuditLogOptions } from './options.ts'
import type { AuditPush, AuditPushOptions } from './push/index.ts'
import type { AuditSearches } from './searches.ts'

export interface AuditDeps extends Omit<AuditLogOptions, 'path' | 'metrics'> {
  readonly config: Pick<AgentConfig, 'audit' | 'auditPush'>
  /** The state directory. */
  readonly directory: string
  readonly store: AuditPushOptions['store']
  readonly metrics: Metrics & {
    onRead(collector: () => void): void
    set<N extends GaugeName>(name: N, labels: LabelsOf<N>, value: number): void
  }
  /** Collects what has to be closed. */
  readonly resources: AsyncDisposableStack
}

/** How far a receiver is, as `warren status` shows it. */
export interface PushReport {
  readonly target: string
  readonly through: bigint
  readonly behind: bigint
  readonly failingSinceMs: bigint
  readonly problem: string
}

/** The audit log of an agent. */
export interface Audit {
  /** The newest signed line that is on the disk. */
  readonly checkpoint: ChainEnd | undefined
  /** Records the audited events from now on. Call it after what has to take effect first has subscribed. */
  follow(events: EventSource): void
  /** Searches for others. */
  readonly searches: AuditSearches
  /** The receivers to which it is pushed. */
  pushes(): PushReport[]
}

const LABELS = ['1', '2', '3', '4'] as const

/** Opens the audit log, if the operator wants one, and pushes it. Throws STATE_UNUSABLE, or INVALID_ARGUMENT for files of receivers. */
export async function openAudit({
  config,
  directory,
  store,
  resources,
  ...deps
}: AuditDeps): Promise<Audit | undefined> {
  const { host, version, metrics, clock, log } = deps
  const targets = config.auditPush ?? []
  const place = config.audit ?? (targets.length > 0 ? 'on' : undefined)
  if (place === undefined) return undefined
  const path = place === 'on' ? join(directory, AUDIT_LOG) : place
  const audit = await AuditLog.open({ ...deps, path })
  let push: AuditPush | undefined
  // The log is closed before, so that its last line is pushed as well.
  resources.defer(() => push?.close())
  resources.defer(() => audit.close())
  if (targets.length > 0) {
    const pushing = await import('./push/index.ts')
    push = new pushing.AuditPush({ targets, path, audit, host: { ...host, version }, store, clock, log, metrics })
    push.start()
  }
  metrics.onRead(() => {
    metrics.set('warren_audit_waiting', {}, audit.waiting)
    for (const [index, { behind }] of (push?.status ?? []).entries()) {
      metrics.set('warren_audit_push_behind', { target: LABELS[index] ?? '4' }, behind)
    }
  })
  log.info('audit log opened', { path })
  return {
    get checkpoint() {
      return audit.checkpoint
    },
    searches: audit.searches,
    follow: events => audit.follow(events),
    pushes: () => (push?.status ?? []).map(reportOf)
  }
}

function reportOf({ target, through, behind, failingSinceMs, problem }: AuditPush['status'][number]): PushReport {
  const [seq, lines, sinceMs] = [through, behind, failingSinceMs].map(BigInt) as [bigint, bigint, bigint]
  return { target, through: seq, behind: lines, failingSinceMs: sinceMs, problem }
}
