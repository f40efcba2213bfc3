import { fileFault, type Metrics } from '../core/index.ts'
import type { AuditRecordFields } from '../events/index.ts'

/** Why a record is lost: too many wait; they wait because the disk takes none; one source has too many refusals. */
export type LossReason = 'queue' | 'disk' | 'source'

/** The fields of a gap, without the key of the host. */
export type GapFields = Omit<AuditRecordFields['audit-gap'], 'peer' | 'toMs'>

const TEXTS: Readonly<Record<LossReason, string>> = {
  queue: 'records came faster than they were written',
  disk: 'nothing could be written',
  source: 'a source had too many refusals'
}

/** Counts the records that are lost, until a record says so. */
export class Losses {
  readonly #metrics: Metrics
  readonly #gaps = new Map<LossReason, GapFields>()

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  /** Whether records are lost until those that wait are written, and the gap is. */
  get isFull(): boolean {
    return (this.#gaps.get('queue')?.lost ?? 0) + (this.#gaps.get('disk')?.lost ?? 0) > 0
  }

  /** Whether there is a gap that `take` returns. */
  get isDue(): boolean {
    return this.#gaps.has('queue') || this.#gaps.has('disk')
  }

  add(reason: LossReason, atMs: number): void {
    this.#metrics.count('warren_audit_lost_total', { reason })
    this.#merge(reason, { reason: TEXTS[reason], lost: 1, fromMs: atMs })
  }

  /** Nothing can be written from now on, whether a record is lost by it or not. */
  stall(path: string, cause: unknown, atMs: number): void {
    this.#merge('disk', { reason: `${TEXTS.disk}: ${fileFault(path, cause).why}`, lost: 0, fromMs: atMs })
  }

  /** Empties it of the gaps that must be recorded in their place, or of those that need not. */
  take(which: 'due' | 'source'): readonly [LossReason, GapFields][] {
    const taken = [...this.#gaps].filter(([reason]) => (reason === 'source') === (which === 'source'))
    for (const [reason] of taken) this.#gaps.delete(reason)
    return taken
  }

  /** Takes back what was not recorded. */
  giveBack(gaps: readonly [LossReason, GapFields][]): void {
    for (const [reason, gap] of gaps) this.#merge(reason, gap)
  }

  #merge(name: LossReason, gap: GapFields): void {
    const known = this.#gaps.get(name)
    if (known === undefined) this.#gaps.set(name, gap)
    else {
      const { reason } = known.reason.length >= gap.reason.length ? known : gap
      this.#gaps.set(name, { reason, lost: known.lost + gap.lost, fromMs: Math.min(known.fromMs, gap.fromMs) })
    }
  }
}
