import { ChangeSignal, type Clock } from '../../core/index.ts'
import type { AdminKey, SetVersion } from '../../policy/index.ts'
import type { AskedSet, Receipt } from './receipt.ts'

/** The result of one pass of enforcement. */
export interface EnforcementOutcome {
  readonly flowsCut: number
  readonly registrationsEnded: number
  /** Steps that failed. */
  readonly failed: readonly string[]
}

export interface AppliedPoliciesDeps {
  readonly rootKey: AdminKey
  /** The sets of which the policy in force consists. */
  readonly sets: () => readonly SetVersion[]
  readonly clock: Pick<Clock, 'wallMs'>
}

/** Versions of one set that are remembered. */
const MAX_RECORDS = 64

/**
 * Which versions of each set this host has applied, and what that cut. A receipt is given only after enforcement has ended: flows
 * are cut, evictions carried out, and registrations that needed a look at their process have been looked at.
 */
export class AppliedPolicies {
  readonly #deps: AppliedPoliciesDeps
  /** Of the last versions of each set, oldest first. */
  readonly #records = new Map<AdminKey, Map<bigint, Receipt>>()
  readonly #changed = new ChangeSignal()
  #running = 0
  /** The sets that the last pass enforces. */
  #begun: readonly SetVersion[] = []
  #refused: { readonly version: bigint; readonly reason: string } | undefined

  constructor(deps: AppliedPoliciesDeps) {
    this.#deps = deps
  }

  /** Resolves when something was applied or refused. */
  changed(): Promise<void> {
    return this.#changed.changed()
  }

  /** Enforcement of the sets in force begins. Call what is returned once, when all of it is done. */
  begin(): (outcome: EnforcementOutcome) => void {
    const sets = this.#deps.sets()
    const fresh = sets.filter(one => !this.#begun.some(other => isSame(one, other)))
    // The same sets take effect again when one of their rules ends by its dates: it may be of any of them.
    const causes = fresh.length === 0 ? sets : fresh
    this.#begun = sets
    this.#running += 1
    return outcome => {
      this.#running -= 1
      for (const set of sets) this.#note(set, causes.includes(set), outcome)
      for (const key of this.#records.keys()) {
        if (!this.#begun.some(one => one.key === key)) this.#records.delete(key)
      }
      this.#changed.fire()
    }
  }

  /** A signed version of the root's set is not taken here. */
  refused(version: bigint, reason: string): void {
    this.#refused = { version, reason }
    this.#changed.fire()
  }

  /** Whether a set that is asked about, or one that gives it its rights, is not in force here yet. */
  lacks(asked: AskedSet): boolean {
    return [asked, ...asked.grantedBy].some(({ key, version }) => (this.#inForce(key)?.version ?? 0n) < version)
  }

  /** The receipt for a version; undefined while it, or a later one, or what gives it its rights, is not applied. */
  receiptFor(asked: AskedSet): Receipt | undefined {
    const own = this.#receiptOf(asked)
    const granting = asked.grantedBy.map(({ key, version }) => this.#receiptOf({ key, version, sha256: '' }))
    const failed = granting.find(receipt => receipt !== undefined && receipt.state !== 'applied')
    if (own !== undefined && failed !== undefined) return { ...own, state: failed.state, problem: failed.problem }
    return granting.includes(undefined) ? undefined : own
  }

  #inForce(key: AdminKey): SetVersion | undefined {
    return this.#deps.sets().find(one => one.key === key)
  }

  #receiptOf({ key, version, sha256 }: SetVersion): Receipt | undefined {
    const current = this.#inForce(key)
    const isRoot = key === this.#deps.rootKey
    if (current === undefined || current.version < version) return isRoot ? this.#refusal(version) : undefined
    const inForce = { version: current.version, sha256: current.sha256 }
    if (current.version === version && sha256 !== '' && current.sha256 !== sha256) {
      // Of two sets of one version every host chooses the lower hash: that of the question is still on its way.
      if (!isRoot && sha256 < current.sha256) return undefined
      return { ...NOTHING, ...inForce, state: 'refused', problem: 'another policy of this version is in force' }
    }
    const known = this.#applied(key, version)
    if (known !== undefined) return known
    return this.#running > 0 ? undefined : { ...NOTHING, ...inForce }
  }

  #note({ key, version, sha256 }: SetVersion, isCause: boolean, outcome: EnforcementOutcome): void {
    const records = this.#records.get(key) ?? new Map<bigint, Receipt>()
    const former = records.get(version)
    const before = former?.sha256 === sha256 ? former : undefined
    // A change of another admin that fails takes nothing back of this one.
    if (before?.state === 'applied' && !isCause) return
    const { failed } = outcome
    records.set(version, {
      state: failed.length === 0 ? 'applied' : 'failed',
      version,
      sha256,
      flowsCut: (isCause ? outcome.flowsCut : 0) + (before?.flowsCut ?? 0),
      registrationsEnded: (isCause ? outcome.registrationsEnded : 0) + (before?.registrationsEnded ?? 0),
      appliedAtMs: before?.appliedAtMs ?? this.#deps.clock.wallMs(),
      problem: failed.length === 0 ? '' : `${failed.join(', ')} failed; the log of the host says why`
    })
    const [oldest] = records.keys()
    if (oldest !== undefined && records.size > MAX_RECORDS) records.delete(oldest)
    this.#records.set(key, records)
  }

  #applied(key: AdminKey, version: bigint): Receipt | undefined {
    const those = [...(this.#records.get(key)?.values() ?? [])]
      .filter(record => record.version >= version)
      .sort((one, other) => Number(one.version - other.version))
    // A later version takes away what one before it should have.
    return those.find(({ state }) => state === 'applied') ?? those[0]
  }

  #refusal(version: bigint): Receipt | undefined {
    if (this.#refused === undefined || this.#refused.version < version) return undefined
    const { version: inForce = 0n, sha256 = '' } = this.#inForce(this.#deps.rootKey) ?? {}
    return { ...NOTHING, state: 'refused', version: inForce, sha256, problem: this.#refused.reason }
  }
}

function isSame(one: SetVersion, other: SetVersion): boolean {
  return one.key === other.key && one.version === other.version && one.sha256 === other.sha256
}

const NOTHING = Object.freeze({
  state: 'applied',
  flowsCut: 0,
  registrationsEnded: 0,
  appliedAtMs: 0,
  problem: ''
} as const)
