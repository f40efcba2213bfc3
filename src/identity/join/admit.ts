import { createHash, timingSafeEqual } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { identityPb } from '../../wire/index.ts'
import { spkiSha256 } from '../certificate/binding.ts'
import { type Issuer, issueNode } from '../certificate/issue.ts'
import { provenKey } from '../certificate/request.ts'
import type { PeerKey } from '../peer-key.ts'
import { admittedFromMs, evictionText, type Revocation, revocationOfHost } from '../revocation.ts'
import { openBinding, verdictOf } from '../verify/index.ts'

type HostKeys = Pick<ReturnType<typeof openBinding>, 'peer' | 'nodeKeySha256'>

/** A token as its authority stores it: without the secret. */
export interface StoredToken {
  /** Hex. */
  readonly id: string
  /** Hex. */
  readonly secretSha256: string
  readonly machine: string
  readonly scopes: readonly string[]
  readonly createdAtMs: number
  readonly expiresAtMs: number
  readonly usedAtMs: number | undefined
  /** The keys of the host that it admitted, if that is known: see `keysOf`. */
  readonly usedBy: string | undefined
  readonly revokedAtMs: number | undefined
}

export interface TokenStore {
  readonly find: (tokenId: string) => StoredToken | undefined
  /**
   * Marks a token as used by these keys, durably; false if it was used or revoked already. Atomic: only one of two callers gets
   * true.
   */
  readonly consume: (tokenId: string, nowMs: number, usedBy: string) => boolean
  /** Whether a later token has admitted a host of this name. */
  readonly hasJoinedSince: (machine: string, usedAtMs: number) => boolean
}

export interface AdmitDeps {
  readonly trustDomain: string
  readonly tokens: TokenStore
  readonly authority: Issuer
  /** The revocations in force. */
  readonly revocations: () => readonly Revocation[]
  /** The member of this name, if there is one now. */
  readonly peerOf: (machine: string) => PeerKey | undefined
  readonly nowMs: () => number
  /** Lifetime of the certificate, in milliseconds. @default LIFETIME_MS.node */
  readonly lifetimeMs?: number
}

const TOKEN_ID_BYTES = 16

/**
 * Verifies a join request and, if it is valid, spends its token and issues the host's node CA certificate (DER).
 *
 * A host whose join was interrupted may ask again with the same keys, until its token expires: it gets another certificate, unless
 * another host has its name by now.
 *
 * Throws TOKEN_REFUSED with the reason (not from this authority, altered, revoked, used, expired, older than an eviction
 * of the machine, for another machine or other scopes), CERTIFICATE_REFUSED when the proofs of the keys are invalid, or
 * REVOKED for a host that was evicted. A caller without the secret learns only that the token is refused.
 */
export async function admitJoin(request: identityPb.JoinRequest, deps: AdmitDeps): Promise<Uint8Array> {
  const { trustDomain, tokens, authority, nowMs } = deps
  const token = claim(request, tokens, nowMs())
  const { binding } = request
  if (binding === undefined) throw new WarrenError(ErrorCode.CertificateRefused, 'the request has no binding')
  const verdict = verdictOf(() => openBinding(binding, trustDomain))
  if (!verdict.ok) throw new WarrenError(ErrorCode.CertificateRefused, verdict.detail)
  const { machine, peer, scopes, nodeKeySha256 } = verdict.identity
  const keys = keysOf(verdict.identity)
  if (token.usedAtMs !== undefined && token.usedBy !== keys) throw refused('the token was already used')
  if (machine !== token.machine) {
    throw refused(`the token is for machine ${token.machine}, not ${machine}`)
  }
  if (!areSame(new Set(scopes), new Set(token.scopes))) throw refused('the token is for other scopes')
  const publicKey = await provenKey(request.csr)
  if (!timingSafeEqual(spkiSha256(publicKey), nodeKeySha256)) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the binding is for another key than the request')
  }
  const revocations = deps.revocations()
  const notEarlierMs = admittedFromMs(revocations, machine)
  if (token.createdAtMs < notEarlierMs) throw refused(`the token is older than the eviction of ${machine}`)
  const revocation = revocationOfHost(revocations, {
    machine,
    peer,
    keys: [Buffer.from(nodeKeySha256).toString('hex')],
    notBeforeMs: notEarlierMs
  })
  if (revocation !== undefined) {
    throw new WarrenError(ErrorCode.Revoked, evictionText(machine, revocation), {
      hint: 'Empty the state directory of the host, so that it makes new keys.'
    })
  }
  // Checked last, so that a request with a mistake in it does not spend the token.
  if (token.usedAtMs !== undefined) requireStillNamed(token.usedAtMs, machine, peer, deps)
  else if (!tokens.consume(token.id, nowMs(), keys)) throw refused('the token was already used')
  const lifetime = deps.lifetimeMs === undefined ? {} : { lifetimeMs: deps.lifetimeMs }
  return await issueNode({
    trustDomain,
    machine,
    authority,
    publicKey,
    binding,
    nowMs: nowMs(),
    notEarlierMs,
    ...lifetime
  })
}

/** The keys of a host, as the store notes them for its token. */
function keysOf({ peer, nodeKeySha256 }: HostKeys): string {
  return `${peer} ${Buffer.from(nodeKeySha256).toString('hex')}`
}

function requireStillNamed(usedAtMs: number, machine: string, peer: PeerKey, { tokens, peerOf }: AdmitDeps): void {
  const holder = peerOf(machine)
  const isOther = holder !== undefined && holder !== peer
  if (isOther || tokens.hasJoinedSince(machine, usedAtMs)) {
    throw refused(`the token was already used, and another host holds the name ${machine} now`)
  }
}

/** Whether the request has a token that was made here, and its secret. */
export function isTokenKnown(request: identityPb.JoinRequest, tokens: Pick<TokenStore, 'find'>): boolean {
  const token = named(request, tokens)
  return token !== undefined && hasSecret(request, token)
}

function named({ tokenId }: identityPb.JoinRequest, tokens: Pick<TokenStore, 'find'>): StoredToken | undefined {
  // Text of another length is not the id of a token, and the store need not look up 60 KB of hex.
  return tokenId.length === TOKEN_ID_BYTES ? tokens.find(Buffer.from(tokenId).toString('hex')) : undefined
}

function hasSecret({ secret }: identityPb.JoinRequest, { secretSha256 }: StoredToken): boolean {
  const given = createHash('sha256').update(secret).digest()
  const kept = Buffer.from(secretSha256, 'hex')
  return kept.length === given.length && timingSafeEqual(given, kept)
}

function claim(request: identityPb.JoinRequest, tokens: TokenStore, nowMs: number): StoredToken {
  const token = named(request, tokens)
  if (token === undefined) throw refused('this authority did not make the token, or has forgotten it')
  if (!hasSecret(request, token)) throw refused('the token was altered: it has another secret than the one made here')
  if (token.revokedAtMs !== undefined) {
    throw refused(`the token was revoked at ${new Date(token.revokedAtMs).toISOString()}`)
  }
  if (nowMs >= token.expiresAtMs) throw refused(`the token expired at ${new Date(token.expiresAtMs).toISOString()}`)
  return token
}

// Compared as sets: with a count, a scope that the token names twice would make room for one that it does not name.
function areSame(some: ReadonlySet<string>, others: ReadonlySet<string>): boolean {
  return some.size === others.size && [...some].every(one => others.has(one))
}

function refused(reason: string): WarrenError {
  return new WarrenError(ErrorCode.TokenRefused, reason, {
    hint: 'Make a new one with `warren token create` on the authority.'
  })
}
