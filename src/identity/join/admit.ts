import { createHash, timingSafeEqual } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { identityPb } from '../../wire/index.ts'
import { spkiSha256 } from '../certificate/binding.ts'
import { type Issuer, issueNode } from '../certificate/issue.ts'
import { provenKey } from '../certificate/request.ts'
import type { PeerKey } from '../peer-key.ts'
import { admittedFromMs, type Revocation, revocationOfHost } from '../revocation.ts'
import { openBinding, verdictOf } from '../verify/index.ts'
import { type Candidate, decideAdmission, refused } from './decide.ts'
import {
  type Grant,
  grantOf,
  type JoinLedger,
  type JoinMethod,
  type JoinUse,
  keysOf,
  type StoredToken
} from './grant.ts'

export interface AdmitDeps {
  readonly trustDomain: string
  readonly ledger: JoinLedger
  readonly authority: Issuer
  /** The revocations in force. */
  readonly revocations: () => readonly Revocation[]
  /** The reason why another host has this name; undefined if it is free for `peer`. */
  readonly taken: (machine: string, peer: PeerKey) => string | undefined
  /** The member of this name, if there is one now. */
  readonly peerOf: (machine: string) => PeerKey | undefined
  readonly nowMs: () => number
  /** The network address of the host. @default '' */
  readonly remote?: string
  /** Lifetime of the certificate, in milliseconds. @default LIFETIME_MS.node */
  readonly lifetimeMs?: number
}

/** The outcome of a request that is not refused. */
export type Admission =
  | { readonly kind: 'admitted'; readonly certificate: Uint8Array; readonly use: JoinUse }
  | { readonly kind: 'waiting'; readonly machine: string; readonly peer: PeerKey; readonly isNew: boolean }

/** The binding that a proof admits. */
export type JoinOffer = Pick<Candidate, 'machine' | 'scopes' | 'ephemeral'>

const TOKEN_ID_BYTES = 16

/** The host that a request names, by its own signatures. Throws CERTIFICATE_REFUSED. */
export function openRequest(
  { binding }: identityPb.JoinRequest,
  trustDomain: string
): ReturnType<typeof openBinding> & { readonly keys: string } {
  if (binding === undefined) throw new WarrenError(ErrorCode.CertificateRefused, 'the request has no binding')
  const verdict = verdictOf(() => openBinding(binding, trustDomain))
  if (!verdict.ok) throw new WarrenError(ErrorCode.CertificateRefused, verdict.detail)
  return { ...verdict.identity, keys: keysOf(verdict.identity) }
}

/**
 * Verifies a join request and, if the grant of its proof admits it, notes the admission and issues the host's node CA certificate
 * (DER).
 *
 * A host whose join was interrupted may ask again with the same keys, until its proof expires: it gets another certificate,
 * unless another host has its name by now.
 *
 * Throws like `decideAdmission`, and CERTIFICATE_REFUSED when the proofs of the keys are invalid.
 */
export async function admitJoin(request: identityPb.JoinRequest, grant: Grant, deps: AdmitDeps): Promise<Admission> {
  const { trustDomain, ledger, authority, nowMs, remote = '' } = deps
  const opened = openRequest(request, trustDomain)
  const { machine, peer, keys, ephemeral, nodeKeySha256 } = opened
  const publicKey = await provenKey(request.csr)
  if (!timingSafeEqual(spkiSha256(publicKey), nodeKeySha256)) {
    throw new WarrenError(ErrorCode.CertificateRefused, 'the binding is for another key than the request')
  }
  const revocations = deps.revocations()
  const notEarlierMs = admittedFromMs(revocations, machine)
  const revocable = { machine, peer, keys: [Buffer.from(nodeKeySha256).toString('hex')], notBeforeMs: notEarlierMs }
  const uses = ledger.usesOf(grant.source)
  const earlier = uses.find(use => use.keys === keys)
  const decision = decideAdmission(
    grant,
    { ...opened, remote },
    {
      nowMs: nowMs(),
      uses,
      waiting: ledger.waitingFor(grant.source, keys),
      taken: deps.taken(machine, peer),
      isSucceeded: earlier !== undefined && isSucceeded(earlier, deps),
      admittedFromMs: notEarlierMs,
      revocation: revocationOfHost(revocations, revocable)
    }
  )
  const { source, method, via } = grant
  const use: JoinUse = {
    source,
    method,
    keys,
    machine,
    peer,
    remote,
    usedAtMs: nowMs(),
    ephemeral,
    leftAtMs: undefined
  }
  if (decision === 'wait') {
    const isNew = ledger.waitingFor(source, keys) === undefined
    const most = method === 'token' && grant.uses !== undefined ? grant.uses - uses.length : undefined
    ledger.wait({ ...use, via, askedAtMs: nowMs(), seenAtMs: nowMs(), state: 'waiting' }, most)
    return { kind: 'waiting', machine, peer, isNew }
  }
  const before = ledger.lastOf(machine)
  // Last, so that a request with a mistake in it does not spend a use; and before the certificate exists.
  if (decision === 'admit' && !ledger.spend(use, grant.uses)) throw refused(grant, 'was already used')
  const certificate = await issueNode({
    trustDomain,
    machine,
    authority,
    publicKey,
    binding: request.binding ?? fail(),
    nowMs: nowMs(),
    notEarlierMs,
    ...lifetimeOf(before, use, deps.lifetimeMs)
  })
  return { kind: 'admitted', certificate, use: earlier ?? use }
}

// The certificate that ends last has the name: that of the new host must not end in the same second as that of the last one.
function lifetimeOf(
  before: JoinUse | undefined,
  use: JoinUse,
  lifetimeMs: number | undefined
): { lifetimeMs?: number } {
  if (lifetimeMs === undefined) return {}
  const isNew = before !== undefined && before.peer !== use.peer
  const sinceMs = isNew ? use.usedAtMs - before.usedAtMs : SECOND_MS
  return { lifetimeMs: lifetimeMs + (sinceMs < SECOND_MS ? 2 * SECOND_MS : 0) }
}

const SECOND_MS = 1_000

function fail(): never {
  throw new WarrenError(ErrorCode.CertificateRefused, 'the request has no binding')
}

function isSucceeded(use: JoinUse, { ledger, peerOf }: AdmitDeps): boolean {
  const holder = peerOf(use.machine)
  const last = ledger.lastOf(use.machine)
  return (holder !== undefined && holder !== use.peer) || (last !== undefined && last.usedAtMs > use.usedAtMs)
}

/** How a request proves the right to join. */
export function methodOf({ certificate, oidcToken }: identityPb.JoinRequest): JoinMethod {
  if (certificate !== undefined) return 'certificate'
  return oidcToken === '' ? 'token' : 'oidc'
}

/** Whether the request has a token that was made here, and its secret. */
export function isTokenKnown(request: identityPb.JoinRequest, tokens: Pick<JoinLedger, 'find'>): boolean {
  const token = named(request, tokens)
  return token !== undefined && hasSecret(request, token)
}

/** The grant of the token in a request. Throws TOKEN_REFUSED; a caller without the secret learns only that it is refused. */
export function claimToken(request: identityPb.JoinRequest, tokens: Pick<JoinLedger, 'find'>): Grant {
  const token = named(request, tokens)
  const method = 'token'
  if (token === undefined) {
    throw new WarrenError(ErrorCode.TokenRefused, 'this authority did not make the token, or has forgotten it', {
      hint: 'Make a new one with `warren token create` on the authority.'
    })
  }
  if (!hasSecret(request, token)) throw refused({ method }, 'was altered: it has another secret than the one made here')
  return grantOf(token)
}

function named({ tokenId }: identityPb.JoinRequest, tokens: Pick<JoinLedger, 'find'>): StoredToken | undefined {
  // Text of another length is not the id of a token, and the store need not look up 60 KB of hex.
  return tokenId.length === TOKEN_ID_BYTES ? tokens.find(Buffer.from(tokenId).toString('hex')) : undefined
}

function hasSecret({ secret }: identityPb.JoinRequest, { secretSha256 }: StoredToken): boolean {
  const given = createHash('sha256').update(secret).digest()
  const kept = Buffer.from(secretSha256, 'hex')
  return kept.length === given.length && timingSafeEqual(given, kept)
}
