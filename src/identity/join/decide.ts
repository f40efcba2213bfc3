import { ErrorCode, isWithin, WarrenError } from '../../core/index.ts'
import type { PeerKey } from '../peer-key.ts'
import { evictionText, type Revocation } from '../revocation.ts'
import type { Grant, JoinUse, WaitingHost } from './grant.ts'
import { isNamed, isOpen } from './name-pattern.ts'

/** The host that asks, as its own signatures prove it. */
export interface Candidate {
  readonly machine: string
  readonly peer: PeerKey
  readonly keys: string
  readonly scopes: readonly string[]
  readonly ephemeral: boolean
  /** The network address that it comes from. */
  readonly remote: string
}

/** The state of the authority that decides. */
export interface AdmissionFacts {
  readonly nowMs: number
  /** The admissions by the same proof. */
  readonly uses: readonly JoinUse[]
  /** The same host, if it has waited for an admin. */
  readonly waiting: WaitingHost | undefined
  /** The reason why the name belongs to another host; undefined if it is free for this one. */
  readonly taken: string | undefined
  /** Whether another host has joined under the name after this one. */
  readonly isSucceeded: boolean
  /** End of the last eviction of the machine; zero if it was never evicted. */
  readonly admittedFromMs: number
  /** The revocation of the host's keys, if there is one. */
  readonly revocation: Revocation | undefined
}

/** `again`: the host was admitted before with the same keys, and gets its certificate again. */
export type AdmissionDecision = 'admit' | 'again' | 'wait'

const WORDS = {
  token: 'the token',
  certificate: 'the certificate',
  oidc: 'the OIDC token'
}

/**
 * Decides every admission, by whatever way. Throws TOKEN_REFUSED or CERTIFICATE_REFUSED with the reason, or REVOKED.
 *
 * Pure, so that nothing of the decision depends on the way by which the host has come.
 */
export function decideAdmission(grant: Grant, host: Candidate, facts: AdmissionFacts): AdmissionDecision {
  const { machine } = host
  requireInForce(grant, host, facts)
  const earlier = facts.uses.find(({ keys }) => keys === host.keys)
  if (earlier === undefined) requireUse(grant, facts)
  if (!isNamed(grant.names, machine)) {
    const whom = isOpen(grant.names) ? 'is for machines named' : 'is for machine'
    throw refused(grant, `${whom} ${grant.names}, not ${machine}`, 'Give this host such a name with --name.')
  }
  if (!areSame(new Set(host.scopes), new Set(grant.scopes))) throw refused(grant, 'is for other scopes')
  if (host.ephemeral !== grant.ephemeral) {
    throw refused(grant, grant.ephemeral ? 'is for ephemeral hosts' : 'is not for ephemeral hosts')
  }
  if (grant.createdAtMs < facts.admittedFromMs) throw refused(grant, `is older than the eviction of ${machine}`)
  if (facts.revocation !== undefined) {
    throw new WarrenError(ErrorCode.Revoked, evictionText(machine, facts.revocation), {
      hint: 'Empty the state directory of the host, so that it makes new keys.'
    })
  }
  if (earlier !== undefined) {
    if (earlier.machine !== machine) throw refused(grant, `has admitted this host as ${earlier.machine} already`)
    if (!facts.isSucceeded) return 'again'
    throw refused(grant, `was already used, and another host holds the name ${machine} now`)
  }
  if (facts.taken !== undefined) throw refused(grant, `does not admit another ${machine}: ${facts.taken}`, TAKEN_HINT)
  if (facts.waiting?.state === 'refused')
    throw refused(grant, `does not admit ${machine}: an admin has refused this host`, 'Ask the admin.')
  return grant.needsApproval && facts.waiting?.state !== 'admitted' ? 'wait' : 'admit'
}

const TAKEN_HINT =
  'Give this host another name (--name); an evicted host, or an ephemeral one that has left, frees its name.'

function requireInForce(grant: Grant, { remote }: Candidate, { nowMs, waiting }: AdmissionFacts): void {
  if (grant.revokedAtMs !== undefined) {
    throw refused(grant, `was revoked at ${new Date(grant.revokedAtMs).toISOString()}`)
  }
  // A host that waits has shown its proof in time, and asks again with the same one.
  if ((waiting?.askedAtMs ?? nowMs) >= grant.expiresAtMs) {
    throw refused(grant, `expired at ${new Date(grant.expiresAtMs).toISOString()}`)
  }
  if (!isWithin(grant.from, remote))
    throw refused(grant, `does not admit a host at ${remote}`, 'Its terms name the networks that hosts may come from.')
}

function requireUse(grant: Grant, { uses }: AdmissionFacts): void {
  if (grant.uses === undefined || uses.length < grant.uses) return
  throw refused(
    grant,
    grant.uses === 1 ? 'was already used' : `was already used ${grant.uses} times, which is all of its uses`
  )
}

// Compared as sets: with a count, a scope that the token names twice would make room for one that it does not name.
function areSame(some: ReadonlySet<string>, others: ReadonlySet<string>): boolean {
  return some.size === others.size && [...some].every(one => others.has(one))
}

const HINTS = {
  token: 'Make a new one with `warren token create` on the authority.',
  certificate: 'Use another certificate, or see `warren authority trusts` on the authority.',
  oidc: 'Get a new one from its issuer, or see `warren authority trusts` on the authority.'
}

/** The error of a proof that does not admit a host. */
export function refused({ method }: Pick<Grant, 'method'>, reason: string, hint = HINTS[method]): WarrenError {
  const code = method === 'certificate' ? ErrorCode.CertificateRefused : ErrorCode.TokenRefused
  return new WarrenError(code, `${WORDS[method]} ${reason}`, { hint })
}
