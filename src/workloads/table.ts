import { accountOf, type LocalUser, sameUser } from '../attest/index.ts'
import { ErrorCode, LruMap, SessionEndedError, WarrenError } from '../core/index.ts'
import { codeAfter, type EndReason, type Workload } from './workload.ts'

interface Entry {
  readonly workload: Workload
  /** Open Keep streams. While there is one, the TTL does not run. */
  keepers: number
  /** Monotonic instant at which it expires unless kept or refreshed. */
  deadlineMs: number
}

interface Ended extends LocalUser {
  readonly reason: EndReason
}

/** Ended tokens that are kept, so that their holders get the reason; the oldest are forgotten first. */
const MAX_ENDED = 10_000
/** Hex digits of a registration id by which other hosts ask for it: as many as fit into a DNS label. */
const PREFIX_LENGTH = 32

/** The registrations of this host by token and by id. Holds state only; the caller handles the consequences of an end. */
export class WorkloadTable {
  readonly #byId = new Map<string, Entry>()
  readonly #byPrefix = new Map<string, Entry>()
  readonly #byToken = new Map<string, Entry>()
  readonly #ended = new LruMap<string, Ended>(MAX_ENDED)

  get size(): number {
    return this.#byId.size
  }

  add(workload: Workload, nowMs: number): void {
    const entry = { workload, keepers: 0, deadlineMs: nowMs + workload.ttlMs }
    this.#byId.set(workload.registrationId, entry)
    this.#byPrefix.set(workload.registrationId.slice(0, PREFIX_LENGTH), entry)
    this.#byToken.set(workload.tokenHash, entry)
  }

  get(registrationId: string): Workload | undefined {
    return this.#byId.get(registrationId)?.workload
  }

  /** The registration whose id begins with these 32 hex digits; undefined for any other text. */
  byPrefix(prefix: string): Workload | undefined {
    return this.#byPrefix.get(prefix)?.workload
  }

  byToken(tokenHash: string): Workload | undefined {
    return this.#byToken.get(tokenHash)?.workload
  }

  all(): Workload[] {
    return [...this.#byId.values()].map(entry => entry.workload)
  }

  /** Registrations on the account of this user. */
  countOf(user: LocalUser): number {
    const account = accountOf(user)
    let count = 0
    for (const { workload } of this.#byId.values()) if (accountOf(workload) === account) count += 1
    return count
  }

  /**
   * The registration behind a token, for this user.
   *
   * Throws TIMEOUT if it expired or was cleared, INVALID_SOURCE if its process ended, the admin removed its grant, or it
   * never existed. A token of another user is treated as one that does not exist. `hint` is for a token without a live
   * registration.
   */
  claim(tokenHash: string, user: LocalUser, hint = 'Register first, as the user who connects.'): Workload {
    const found = this.byToken(tokenHash)
    const own = found !== undefined && sameUser(found, user) ? found : undefined
    if (own?.process.isAlive() === true) return own
    const past = this.#ended.get(tokenHash)
    const ended = past !== undefined && sameUser(past, user) ? past.reason : undefined
    if (ended !== undefined && codeAfter(ended) === ErrorCode.Timeout) {
      throw new SessionEndedError(`the session of this token has ended: ${ended}`, 'Register again.')
    }
    if (ended === 'revoked' || ended === 'no longer granted') {
      throw new WarrenError(ErrorCode.InvalidSource, `the registration of this token was ended: ${ended}`, {
        hint: 'Register again: the error says what is missing.'
      })
    }
    const ran = ended !== undefined || own !== undefined
    const reason = ran ? 'the source workload no longer runs' : 'no registered workload of yours has this token'
    throw new WarrenError(ErrorCode.InvalidSource, reason, { hint })
  }

  keep(registrationId: string): void {
    const entry = this.#byId.get(registrationId)
    if (entry !== undefined) entry.keepers += 1
  }

  /** Notes the end of one Keep stream; true if it was the last, which ends the registration. */
  release(registrationId: string): boolean {
    const entry = this.#byId.get(registrationId)
    if (entry === undefined) return false
    entry.keepers -= 1
    return entry.keepers === 0
  }

  /** Keeps it, as a Keep stream does, and lets its time begin anew in the end. Undefined if it is not there, or its process has ended. */
  hold(registrationId: string, nowMs: () => number): (() => void) | undefined {
    if (this.get(registrationId)?.process.isAlive() !== true) return undefined
    this.keep(registrationId)
    return () => {
      this.release(registrationId)
      this.refresh(registrationId, nowMs())
    }
  }

  refresh(registrationId: string, nowMs: number): void {
    const entry = this.#byId.get(registrationId)
    if (entry !== undefined) entry.deadlineMs = nowMs + entry.workload.ttlMs
  }

  /** Registrations that have expired. */
  expired(nowMs: number): Workload[] {
    return [...this.#byId.values()]
      .filter(entry => entry.keepers === 0 && nowMs >= entry.deadlineMs)
      .map(entry => entry.workload)
  }

  /** Takes a registration out; undefined if it was not there, so that an end happens once. */
  remove(registrationId: string, reason: EndReason): Workload | undefined {
    const entry = this.#byId.get(registrationId)
    if (entry === undefined) return undefined
    this.#byId.delete(registrationId)
    this.#byPrefix.delete(registrationId.slice(0, PREFIX_LENGTH))
    this.#byToken.delete(entry.workload.tokenHash)
    const { uid, view } = entry.workload
    this.#ended.set(entry.workload.tokenHash, { uid, view, reason })
    return entry.workload
  }
}
