import { ChangeSignal, type Clock } from '../../core/index.ts'
import type { PolicyVersion, Receipt } from './receipt.ts'

/** The result of one pass of enforcement. */
export interface EnforcementOutcome {
  readonly flowsCut: number
  readonly registrationsEnded: number
  /** Steps that failed. */
  readonly failed: readonly string[]
}

export interface AppliedPoliciesDeps {
  /** The policy in force. */
  readonly bundle: () => PolicyVersion | undefined
  readonly clock: Pick<Clock, 'wallMs'>
}

const MAX_RECORDS = 64

/**
 * Which versions of the policy this host has applied, and what that cut. A receipt is given only after enforcement has ended: flows
 * are cut, evictions carried out, and registrations that needed a look at their process have been looked at.
 */
export class AppliedPolicies {
  readonly #deps: AppliedPoliciesDeps
  /** Of the last versions, oldest first. */
  readonly #records = new Map<bigint, Receipt>()
  readonly #changed = new ChangeSignal()
  #running = 0
  #refused: { readonly version: bigint; readonly reason: string } | undefined

  constructor(deps: AppliedPoliciesDeps) {
    this.#deps = deps
  }

  /** Resolves when something was applied or refused. */
  changed(): Promise<void> {
    return this.#changed.changed()
  }

  /** Enforcement of the version in force begins. Call what is returned once, when all of it is done. */
  begin(): (outcome: EnforcementOutcome) => void {
    const { bundle, clock } = this.#deps
    const { version = 0n, sha256 = '' } = bundle() ?? {}
    this.#running += 1
    return ({ flowsCut, registrationsEnded, failed }) => {
      this.#running -= 1
      // The same version takes effect again when one of its rules ends by its dates.
      const before = this.#records.get(version)
      const problem = failed.length === 0 ? '' : `${failed.join(', ')} failed; the log of the host says why`
      this.#records.set(version, {
        state: failed.length === 0 ? 'applied' : 'failed',
        version,
        sha256,
        flowsCut: flowsCut + (before?.flowsCut ?? 0),
        registrationsEnded: registrationsEnded + (before?.registrationsEnded ?? 0),
        appliedAtMs: before?.appliedAtMs ?? clock.wallMs(),
        problem
      })
      const [oldest] = this.#records.keys()
      if (oldest !== undefined && this.#records.size > MAX_RECORDS) this.#records.delete(oldest)
      this.#changed.fire()
    }
  }

  /** A signed version is not taken here. */
  refused(version: bigint, reason: string): void {
    this.#refused = { version, reason }
    this.#changed.fire()
  }

  /** The receipt for a version; undefined while it, or a later one, is not applied. */
  receiptFor({ version, sha256 }: PolicyVersion): Receipt | undefined {
    const current = this.#deps.bundle()
    if (current === undefined || current.version < version) return this.#refusal(version)
    const isOther = current.version === version && sha256 !== '' && current.sha256 !== sha256
    if (isOther)
      return { ...NOTHING, ...current, state: 'refused', problem: 'another policy of this version is in force' }
    const known = this.#applied(version)
    if (known !== undefined) return known
    return this.#running > 0 ? undefined : { ...NOTHING, version: current.version, sha256: current.sha256 }
  }

  #applied(version: bigint): Receipt | undefined {
    const those = [...this.#records.values()]
      .filter(record => record.version >= version)
      .sort((one, other) => Number(one.version - other.version))
    // A later version takes away what one before it should have.
    return those.find(({ state }) => state === 'applied') ?? those[0]
  }

  #refusal(version: bigint): Receipt | undefined {
    const { bundle } = this.#deps
    if (this.#refused === undefined || this.#refused.version < version) return undefined
    const { version: inForce = 0n, sha256 = '' } = bundle() ?? {}
    return { ...NOTHING, state: 'refused', version: inForce, sha256, problem: this.#refused.reason }
  }
}

const NOTHING = Object.freeze({
  state: 'applied',
  flowsCut: 0,
  registrationsEnded: 0,
  appliedAtMs: 0,
  problem: ''
} as const)
