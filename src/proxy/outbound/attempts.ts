import { definedOnly, ErrorCode, WarrenError } from '../../core/index.ts'
import { formatAddress } from '../../identity/index.ts'
import type { Candidate } from '../deps.ts'
import { ineligibleReason } from './balance.ts'

/** Instances that an error names: its reason must fit into a header. */
const MAX_NAMED = 5
const MAX_CLAUSE = 120
const FAILING = 'On its host `warren services` says why it does not serve; `warren explain` says each check.'

/** What became of the instances of one connection, for the error if none takes it. */
export class Attempts {
  readonly #considered: readonly Candidate[]
  readonly #failed: Array<{ readonly candidate: Candidate; readonly error: WarrenError }> = []

  constructor(considered: readonly Candidate[]) {
    this.#considered = considered
  }

  failed(candidate: Candidate, error: WarrenError): void {
    this.#failed.push({ candidate, error })
  }

  /** The error that says most, with all instances that were tried or skipped. */
  error(): WarrenError {
    // An instance that would be allowed but does not answer says more than one that refuses.
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

  // Whoever reads that it drains needs nothing more.
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
      return why === undefined || this.#failed.some(failed => failed.candidate === candidate)
        ? []
        : [`${formatAddress(candidate.address)} is ${why}`]
    })
  }
}

function clip(text: string): string {
  return text.length > MAX_CLAUSE ? `${text.slice(0, MAX_CLAUSE - 1)}…` : text
}
