import type { AttestedProcess, LocalUser, ProcessHandle } from '../attest/index.ts'
import { DEFAULT_WEIGHT, ErrorCode } from '../core/index.ts'
import type { RegistrationEnd } from '../events/index.ts'
import { type IdentityDocument, type Pattern, registrationIdOf } from '../identity/index.ts'
import { limitsOf, type UsageLimits } from '../policy/index.ts'
import type { LocalRecord } from '../registry/index.ts'
import type { Claim } from './claim.ts'
import type { Delivery } from './delivery.ts'
import type { Checker } from './health/index.ts'
import { dnsNamesOf, type RegisterInput, type Registrant, ttlOf } from './register-input.ts'
import type { Target } from './target.ts'

export type EndReason = RegistrationEnd

/** One registration of one local process, as its agent knows it. */
export interface Workload extends LocalUser, Omit<LocalRecord, 'health'> {
  /** Hex SHA-256 of the identity document. */
  readonly registrationId: string
  readonly document: IdentityDocument
  readonly spiffeId: string
  readonly application: string
  readonly gid: number
  /** The facts about the processes that claimed it, to verify the claim again. */
  readonly facts: readonly AttestedProcess[]
  /** The identity is for every process of the user, and not only for `process`. */
  readonly forUser: boolean
  /** The process whose end ends the registration. */
  readonly process: ProcessHandle
  readonly target: Target | undefined
  /** How the agent checks the target, if it does. */
  readonly check: Checker | undefined
  /** Names that its certificates on spiffe.sock have, in lower case. */
  readonly dnsNames: readonly string[]
  /** What it set for itself; the entries that grant it may set less. */
  readonly limits: UsageLimits
  /** Each of its datagrams is sent on two paths, where there are two. */
  readonly multipath: boolean
  /** SHA-256 of the session token; the token itself is not kept. */
  readonly tokenHash: string
  /** Directory made for its listening socket, removed at its end. */
  readonly directory: string | undefined
}

/** Ends after which the same process may register again; the others say that something is missing. */
const OWN_ENDS: ReadonlySet<EndReason> = new Set(['deregistered', 'expired', 'connection closed'])

/** The error for users of a registration after its end: TIMEOUT or INVALID_SOURCE. */
export function codeAfter(reason: EndReason): ErrorCode {
  return OWN_ENDS.has(reason) ? ErrorCode.Timeout : ErrorCode.InvalidSource
}

/** The parts of a registration that was granted. */
export interface Granted extends Omit<Claim, 'serverUser'> {
  readonly document: IdentityDocument
  readonly tokenHash: string
  readonly delivery: Delivery
  readonly whitelist: readonly Pattern[]
}

/** The registration of a claim that was granted. */
export function workloadOf(input: RegisterInput, { uid, gid, view }: Registrant, granted: Granted): Workload {
  const { address, process, facts, document, tokenHash, delivery, whitelist } = granted
  const { target } = delivery
  return Object.freeze({
    ...delivery,
    registrationId: registrationIdOf(document),
    document,
    address,
    spiffeId: document.spiffeId,
    application: input.application,
    uid,
    view,
    gid,
    facts,
    process,
    forUser: input.forUser ?? false,
    dnsNames: Object.freeze(dnsNamesOf(input)),
    limits: limitsOf({ maxConnects: input.maxConnects ?? 0, maxRate: input.maxRate ?? 0 }),
    protocols: target === undefined ? [] : [target.kind === 'unix' ? target.protocol : target.kind],
    whitelist,
    labels: input.labels,
    ports: input.ports ?? [],
    weight: input.weight ?? DEFAULT_WEIGHT,
    multipath: input.multipath ?? false,
    registeredAtMs: document.registeredAtMs,
    ttlMs: ttlOf(input),
    tokenHash
  })
}
