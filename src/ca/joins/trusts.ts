import { createHash, randomBytes } from 'node:crypto'
import type { JWTVerifyGetKey } from 'jose'
import { z } from 'zod'
import { type Clock, ErrorCode, type Logger, lazy, WarrenError } from '../../core/index.ts'
import {
  type Grant,
  type JoinChannel,
  partOf,
  readAnchor,
  refusedProof,
  verifyHostCertificate
} from '../../identity/index.ts'
import type { JoinStore, StoredTrust } from '../../state/index.ts'
import type { identityPb } from '../../wire/index.ts'
import type { Membership } from '../membership/index.ts'
import { localKeys, parseKeysUrl, remoteKeys } from './key-sets.ts'
import { claimedIssuer, refusedOidc, requireClaims, sourceOfOidc, textsOf, verifyOidc } from './oidc.ts'
import { type JoinTerms, nameFrom, parseSource, parseTerms, termsSchema } from './terms.ts'
import { requireAuthority, requireScopes } from './tokens.ts'

const source = lazy(() => z.strictObject({ field: z.string(), pattern: z.string() }))
const caSchema = lazy(() =>
  z.strictObject({
    /** DER, in base64. */
    certificate: z.string(),
    subject: z.string(),
    notAfterMs: z.number(),
    nameFrom: source(),
    terms: termsSchema()
  })
)
const oidcSchema = lazy(() =>
  z.strictObject({
    issuer: z.string(),
    audience: z.string(),
    jwksUri: z.string(),
    jwks: z.string(),
    nameFrom: source(),
    require: z.array(source()),
    scopeFrom: source().optional(),
    terms: termsSchema()
  })
)

/** A CA or an issuer whose proofs admit hosts here. */
export type JoinTrust = { readonly id: string; readonly createdAtMs: number } & (
  | ({ readonly kind: 'ca' } & Readonly<z.infer<ReturnType<typeof caSchema>>>)
  | ({ readonly kind: 'oidc' } & Readonly<z.infer<ReturnType<typeof oidcSchema>>>)
)
type CaTrust = Extract<JoinTrust, { kind: 'ca' }>
type OidcTrust = Extract<JoinTrust, { kind: 'oidc' }>

export interface NewOidcTrust {
  readonly issuer: string
  readonly audience: string
  readonly jwksUri: string
  readonly jwks: string
  readonly nameFrom: string
  readonly require: readonly string[]
  readonly scopeFrom: string
  readonly terms: JoinTerms
}

/** The most CAs and issuers of one authority. */
export const MAX_TRUSTS = 64
const MAX_REQUIRED = 16
const CERTIFICATE_FIELDS = ['cn', 'dns', 'uri'] as const
const PEM = /^\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*$/

export interface JoinTrustsDeps {
  readonly membership: Membership
  readonly ledger: JoinStore
  readonly clock: Clock
  readonly log: Logger
}

/** The CAs and OIDC issuers that an authority trusts to name hosts, and what their proofs grant. */
export class JoinTrusts {
  readonly #deps: JoinTrustsDeps
  /** By the id of a trust. */
  readonly #keys = new Map<string, JWTVerifyGetKey>()

  constructor(deps: JoinTrustsDeps) {
    this.#deps = deps
  }

  list(): JoinTrust[] {
    return this.#deps.ledger.trusts().flatMap(stored => trustOf(stored) ?? [])
  }

  /** Throws NOT_AUTHORITY, INVALID_ARGUMENT, CERTIFICATE_REFUSED (it is no CA), ALREADY_EXISTS or LIMIT_EXCEEDED. */
  addCa(pem: string, nameFrom: string, terms: JoinTerms): JoinTrust {
    const from = parseSource(nameFrom, '--name-from')
    if (!CERTIFICATE_FIELDS.some(field => field === from.field)) {
      throw new WarrenError(ErrorCode.InvalidArgument, `--name-from is one of ${CERTIFICATE_FIELDS.join(', ')}`)
    }
    if (pem.length > 16_384 || !PEM.test(pem)) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'the file must have exactly one certificate in PEM')
    }
    const der = Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64')
    const { subject, notAfterMs } = readAnchor(der)
    const certificate = der.toString('base64')
    if (this.list().some(trust => trust.kind === 'ca' && trust.certificate === certificate)) {
      throw new WarrenError(ErrorCode.AlreadyExists, 'this CA is trusted for joins already', {
        hint: '`warren authority trusts` lists it; remove it first to change its terms.'
      })
    }
    return this.#add('ca', { certificate, subject, notAfterMs, nameFrom: from, terms: parseTerms(terms) })
  }

  /** Throws NOT_AUTHORITY, INVALID_ARGUMENT, ALREADY_EXISTS or LIMIT_EXCEEDED. */
  addOidc(request: NewOidcTrust): JoinTrust {
    const { issuer, audience, jwksUri, jwks } = request
    if (issuer === '' || issuer.length > 512 || audience === '' || audience.length > 512) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'an issuer and an audience have 1 to 512 characters')
    }
    if (jwks === '') parseKeysUrl(jwksUri)
    else localKeys(jwks)
    if (request.require.length > MAX_REQUIRED) {
      throw new WarrenError(ErrorCode.InvalidArgument, `--require may be given ${MAX_REQUIRED} times at most`)
    }
    if (this.list().some(trust => trust.kind === 'oidc' && trust.issuer === issuer && trust.audience === audience)) {
      throw new WarrenError(ErrorCode.AlreadyExists, 'this issuer is trusted for joins with this audience already', {
        hint: '`warren authority trusts` lists it; remove it first to change its terms.'
      })
    }
    return this.#add('oidc', {
      issuer,
      audience,
      jwksUri: jwks === '' ? jwksUri : '',
      jwks,
      nameFrom: parseSource(request.nameFrom, '--name-from'),
      require: request.require.map(text => parseSource(text, '--require')),
      ...(request.scopeFrom === '' ? {} : { scopeFrom: parseSource(request.scopeFrom, '--scope-from') }),
      terms: parseTerms(request.terms)
    })
  }

  /** Trusts it no more, at once; the hosts that it admitted stay. Throws NOT_FOUND, or INVALID_ARGUMENT if ambiguous. */
  remove(idPrefix: string): JoinTrust {
    const [trust, another] = this.list().filter(({ id }) => idPrefix !== '' && id.startsWith(idPrefix))
    const shown = idPrefix.slice(0, 32)
    if (trust === undefined) {
      throw new WarrenError(ErrorCode.NotFound, `no CA or issuer "${shown}" is trusted for joins here`, {
        hint: '`warren authority trusts` lists them by id.'
      })
    }
    if (another !== undefined) throw new WarrenError(ErrorCode.InvalidArgument, `several begin with "${shown}"`)
    this.#deps.ledger.removeTrust(trust.id)
    this.#keys.delete(trust.id)
    this.#deps.log.info('trust for joins removed', { via: trust.id, source: subjectOf(trust) })
    return trust
  }

  /** The grant of a certificate, whose key the other end of this connection proves. Throws CERTIFICATE_REFUSED. */
  byCertificate({ certificate, binding }: identityPb.JoinRequest, channel: JoinChannel): Grant {
    const trusts = this.list().filter((trust): trust is CaTrust => trust.kind === 'ca')
    const anchors = trusts.map(trust => ({ id: trust.id, certificate: Buffer.from(trust.certificate, 'base64') }))
    const refuse = (why: string): WarrenError => refusedProof({ method: 'certificate' }, `is refused: ${why}`)
    if (certificate === undefined) throw refuse('there is none')
    const signed = binding?.binding ?? new Uint8Array()
    const proof = verifyHostCertificate(certificate, anchors, channel, signed, this.#deps.clock.wallMs())
    const trust = trusts.find(({ id }) => id === proof.anchor)
    if (trust === undefined) throw refuse('its CA is not trusted for joins here')
    const field = CERTIFICATE_FIELDS.find(name => name === trust.nameFrom.field) ?? 'cn'
    const names = nameFrom(proof.names[field], trust.nameFrom, trust.terms, refuse)
    const { terms } = trust
    const times = { createdAtMs: proof.notBeforeMs, expiresAtMs: proof.notAfterMs, revokedAtMs: undefined }
    const what = { method: 'certificate', via: trust.id, source: `certificate:${proof.sha256}`, names } as const
    return { ...terms, ...what, uses: undefined, ...times }
  }

  /** The grant of an OIDC token, for the host with these keys. Throws TOKEN_REFUSED. */
  async byOidc(token: string, keys: string): Promise<Grant> {
    const { ledger, clock } = this.#deps
    const issuer = claimedIssuer(token)
    const trusts = this.list().filter((trust): trust is OidcTrust => trust.kind === 'oidc' && trust.issuer === issuer)
    if (trusts.length === 0) throw refusedOidc('its issuer is not trusted for joins here')
    const source = sourceOfOidc(token)
    // A host that waits has shown it in time.
    const nowMs = ledger.waitingFor(source, keys)?.askedAtMs ?? clock.wallMs()
    let refusal: unknown
    for (const trust of trusts) {
      try {
        const { claims, issuedAtMs, expiresAtMs } = await verifyOidc(token, this.#keysOf(trust), trust, nowMs)
        requireClaims(claims, trust.require)
        const names = nameFrom(textsOf(claims, trust.nameFrom.field), trust.nameFrom, trust.terms, refusedOidc)
        const scopes = scopesOf(claims, trust)
        const times = { createdAtMs: issuedAtMs, expiresAtMs, revokedAtMs: undefined }
        return { ...trust.terms, scopes, method: 'oidc', via: trust.id, source, names, uses: 1, ...times }
      } catch (err) {
        refusal ??= err
      }
    }
    throw refusal
  }

  #keysOf(trust: OidcTrust): JWTVerifyGetKey {
    const known = this.#keys.get(trust.id)
    if (known !== undefined) return known
    const keys = trust.jwks === '' ? remoteKeys(parseKeysUrl(trust.jwksUri), this.#deps.clock) : localKeys(trust.jwks)
    this.#keys.set(trust.id, keys)
    return keys
  }

  #add(kind: 'ca' | 'oidc', config: object): JoinTrust {
    const { membership, ledger, clock, log } = this.#deps
    requireAuthority(membership)
    if (ledger.trusts().length >= MAX_TRUSTS) {
      throw new WarrenError(
        ErrorCode.LimitExceeded,
        `this host already trusts ${MAX_TRUSTS} CAs and issuers for joins`,
        {
          limit: 'join_trusts',
          hint: '`warren authority distrust` removes one.'
        }
      )
    }
    const id = createHash('sha256').update(randomBytes(16)).digest('hex').slice(0, 16)
    const stored: StoredTrust = { id, kind, config: JSON.stringify(config), createdAtMs: clock.wallMs() }
    ledger.addTrust(stored)
    const trust = trustOf(stored)
    if (trust === undefined) throw new WarrenError(ErrorCode.Internal, 'the trust cannot be read again')
    log.warn('hosts may join by a new CA or issuer', { via: id, source: subjectOf(trust) })
    return trust
  }
}

/** The subject of the CA, or the issuer. */
export function subjectOf(trust: JoinTrust): string {
  return trust.kind === 'ca' ? trust.subject : trust.issuer
}

// The scopes of the claim come to those of the terms; without any, the host would have all of them.
function scopesOf(claims: Parameters<typeof textsOf>[0], { scopeFrom, terms }: OidcTrust): readonly string[] {
  if (scopeFrom === undefined) return terms.scopes
  const parts = textsOf(claims, scopeFrom.field).flatMap(text => partOf(scopeFrom.pattern, text) ?? [])
  if (parts.length !== 1) throw refusedOidc(`its claim ${scopeFrom.field} does not match ${scopeFrom.pattern}`)
  const scopes = [...new Set([...terms.scopes, ...parts])]
  try {
    requireScopes(scopes)
  } catch {
    throw refusedOidc(`its claim ${scopeFrom.field} gives no scope`)
  }
  return scopes
}

function trustOf({ id, kind, config, createdAtMs }: StoredTrust): JoinTrust | undefined {
  const content: unknown = JSON.parse(config)
  if (kind === 'ca') return { id, createdAtMs, kind, ...caSchema().parse(content) }
  return kind === 'oidc' ? { id, createdAtMs, kind, ...oidcSchema().parse(content) } : undefined
}
