import type { Bundle, Decision } from '../policy/index.ts'

/** When each rule last decided about a connection of this host. Forgets the rules that are no longer in force. */
export class RuleUse {
  readonly #lastMs = new Map<string, number>()
  readonly sinceMs: number

  constructor(nowMs: number) {
    this.sinceMs = nowMs
  }

  note({ rule }: Pick<Decision, 'rule'>, nowMs: number): void {
    if (rule !== '') this.#lastMs.set(rule, nowMs)
  }

  /** Undefined: not since the start. */
  lastMs(rule: string): number | undefined {
    return this.#lastMs.get(rule)
  }

  /** Its size is bounded by that of a bundle. */
  follow({ rules }: Pick<Bundle, 'rules'>): void {
    const kept = new Set(rules.map(({ id }) => id))
    for (const rule of this.#lastMs.keys()) if (!kept.has(rule)) this.#lastMs.delete(rule)
  }
}
