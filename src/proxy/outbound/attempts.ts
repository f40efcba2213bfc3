import { definedOnly, ErrorCode, WarrenError } from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import type { Candidate } from '../deps.ts'
import { ineligibleReason } from './balance.ts'

/** Maximum of instances that an error names: its reason must fit into a header. */
const MAX_NAMED = 5
const MAX_CLAUSE = 120
const FAILING = 'On its host `warren services` says why it does not serve; `warren explain` says each check.'

/** An instance that was tried. */
export interface Failed {
  readonly candidate: Candidate
  readonly error: WarrenError
}

/** Results of the instances of one connection, for the error if none accepts it. */
export class Attempts {
  readonly #considered: readonly Candidate[]
  readonly #problemOf: (registrationId: string) => string | undefined
  readonly #failed: readonly Failed[]

  /** `considered` has all that the source may reach; `problemOf` says why a registration of this host fails. */
  constructor(
    considered: readonly Candidate[],
    failed: readonly Failed[],
    problemOf: (registrationId: string) => string | undefined
  ) {
    this.#considered = considered
    this.#failed = failed
    this.#problemOf = problemOf
  }

  /** Returns the most useful error, with all instances that were tried or skipped. */
  error(): WarrenError {
    // An allowed instance that does not answer is more useful than one that refuses.
    const worthiest =
      this.#failed.findLast(({ error }) => error.code === ErrorCode.DestinationUnreachable) ?? this.#failed[0]
    const single = this.#considered.length === 1
    if (worthiest !== undefined && single) return worthiest.error
    const clauses = [...this.#tried(), ...this.#skipped()]
    const more = clauses.length > MAX_NAMED ? `; and ${clauses.length - MAX_NAMED} more` : ''
    const detail = clauses.slice(0, MAX_NAMED).join('; ') + more
    const count = this.#considered.length
    const reason = single ? detail : `none of ${count} instances took the connection: ${detail}`
    const code = worthiest?.error.code ?? ErrorCode.DestinationUnreachable
    const hint = worthiest?.error.hint ?? (this.#isFailing(code) ? FAILING : undefined)
    return new WarrenError(code, reason, definedOnly({ cause: worthiest?.error, hint }))
  }

  // A reader who learns that it drains needs nothing more.
  #isFailing(code: string): boolean {
    return code === ErrorCode.DestinationUnreachable && this.#considered.some(({ health }) => health === 'failing')
  }

  #tried(): string[] {
    return this.#failed.map(({ candidate, error }) => {
      const name = formatAddress(candidate.address)
      return error.reason.includes(name) ? clip(error.reason) : `${name}: ${clip(error.reason)}`
    })
  }

  #skipped(): string[] {
    return this.#considered.flatMap(candidate => {
      const why = ineligibleReason(candidate)
      if (why === undefined || this.#failed.some(failed => failed.candidate === candidate)) return []
      const { address, health, local, registrationId } = candidate
      const problem = local && why === health ? this.#problemOf(registrationId) : undefined
      return [`${formatAddress(address)} is ${problem === undefined ? why : `${why}: ${problem}`}`]
    })
  }
}

function clip(text: string): string {
  return text.length > MAX_CLAUSE ? `${text.slice(0, MAX_CLAUSE - 1)}…` : text
}
