import type { DescMethod } from '@bufbuild/protobuf'
import { accountOf } from '../attest/index.ts'
import { ErrorCode, Quota, WarrenError } from '../core/index.ts'
import { apiPb } from '../wire/index.ts'
import type { Caller, Identification } from './caller.ts'
import type { LocalLimits } from './limits.ts'
import type { OperatorReserve } from './operator-reserve.ts'
import { tooMany } from './too-many.ts'

export interface CallFrom {
  readonly identification: Identification
  /** Whether its connection is of the operator's reserve. */
  readonly isReserved: boolean
}

export type CallVerdict =
  | { readonly ok: true; readonly caller: Caller; readonly release: () => void }
  | { readonly ok: false; readonly error: WarrenError }

/** Refused calls of one user whose answers are under way. Beyond it they are reset. */
const MAX_REFUSALS_PER_UID = 1_024

/** Decides whether a call may begin, before a byte of its body is read: by who calls, and by the calls of its user under way. */
export class CallGate {
  readonly #limits: LocalLimits
  readonly #reserve: OperatorReserve
  readonly #calls: Quota<string>
  readonly #watches: Quota<string>
  readonly #refusals = new Quota<string>(MAX_REFUSALS_PER_UID, Number.MAX_SAFE_INTEGER)

  constructor(limits: LocalLimits, reserve: OperatorReserve) {
    this.#limits = limits
    this.#reserve = reserve
    this.#calls = new Quota(limits.maxCallsPerUid, Number.MAX_SAFE_INTEGER)
    this.#watches = new Quota(limits.maxWatchesPerUid, Number.MAX_SAFE_INTEGER)
  }

  /** The function of the verdict ends the count of the call. */
  admit({ identification, isReserved }: CallFrom, method: DescMethod): CallVerdict {
    if (!identification.ok) return identification
    const { caller } = identification
    const account = accountOf(caller)
    if (isReserved && !this.#reserve.serves(method)) return { ok: false, error: onlyReserve(this.#limits) }
    const call = this.#calls.take(account) ?? this.#reserve.takeCall(caller, method)
    if (call === undefined) {
      const { maxCallsPerUid } = this.#limits
      return { ok: false, error: tooMany('calls of this user under way', maxCallsPerUid, 'api_calls_per_uid') }
    }
    const watch = isWatch(method) ? this.#watches.take(account) : () => {}
    if (watch === undefined) {
      call()
      const { maxWatchesPerUid } = this.#limits
      return { ok: false, error: tooMany('watches of this user', maxWatchesPerUid, 'api_watches_per_uid') }
    }
    const release = (): void => {
      call()
      watch()
    }
    return { ok: true, caller, release }
  }

  /** Counts a call that is refused until the function returned is called. Undefined: its user has too many of these. */
  refuse({ identification }: CallFrom): (() => void) | undefined {
    // A connection without a caller is closed soon, and few of them are answered at all.
    return identification.ok ? this.#refusals.take(accountOf(identification.caller)) : () => {}
  }
}

// Keep and Listen send next to nothing, and each registration and listener may have one.
function isWatch(method: DescMethod): boolean {
  const { keep, listen } = apiPb.WorkloadService.method
  return method.methodKind !== 'unary' && method !== keep && method !== listen
}

function onlyReserve({ maxConnectionsPerUid }: LocalLimits): WarrenError {
  return new WarrenError(
    ErrorCode.LimitExceeded,
    `too many connections; the limit of one user is ${maxConnectionsPerUid}`,
    {
      limit: 'api_connections_per_uid',
      hint: 'Close some, or keep one connection for many calls. What is left is for commands such as `warren status`.'
    }
  )
}
