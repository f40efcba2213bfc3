import { readTlsFiles, readToken } from '../../collectors/index.ts'
import type { AuditTarget } from '../../config/index.ts'
import { isLoopback } from '../../core/index.ts'
import { Pusher, type PusherOptions, type PushStatus } from './pusher.ts'

export interface AuditPushOptions extends Omit<PusherOptions, 'target' | 'label'> {
  readonly targets: readonly AuditTarget[]
}

const LABELS = ['1', '2', '3', '4'] as const
/** How long the last lines may take when the agent stops. */
const CLOSE_MS = 3_000

/** Pushes an audit log to all its receivers; none of them waits for another. */
export class AuditPush {
  readonly #pushers: readonly Pusher[]

  /** Throws INVALID_ARGUMENT or STATE_UNUSABLE if a file that a target names cannot be used. */
  constructor({ targets, ...options }: AuditPushOptions) {
    for (const target of targets) checkFiles(target)
    for (const { name } of targets.filter(isOpenToReaders)) {
      options.log.warn('the audit log leaves this host without encryption', { address: name })
    }
    this.#pushers = LABELS.slice(0, targets.length).flatMap((label, index) => {
      const target = targets[index]
      return target === undefined ? [] : [new Pusher({ ...options, target, label })]
    })
  }

  get status(): readonly PushStatus[] {
    return this.#pushers.map(({ status }) => status)
  }

  start(): void {
    for (const pusher of this.#pushers) pusher.start()
  }

  /** Call it after the log was closed: the end of the log is pushed, if that takes a few seconds at most. */
  async close(): Promise<void> {
    await Promise.all(this.#pushers.map(pusher => pusher.close(CLOSE_MS)))
  }
}

function checkFiles(target: AuditTarget): void {
  if ('tls' in target && target.tls !== undefined) readTlsFiles(target.tls)
  if ('token' in target && target.token !== undefined) readToken(target.token)
}

function isOpenToReaders(target: AuditTarget): boolean {
  if (target.kind === 'journal') return false
  if (target.kind === 'datagrams') return !isLoopback(target.host)
  return target.tls === undefined && !isLoopback(target.kind === 'syslog' ? target.host : target.url.hostname)
}
