import { createHash } from 'node:crypto'
import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { partOf } from '../../identity/index.ts'
import type { Source } from './terms.ts'

/** The signatures that are accepted: none with a secret, and never none. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']
const MAX_TOKEN_LENGTH = 16_384
/** The clock of an issuer may differ by this much. */
const TOLERANCE_S = 30
/** A token is not used longer than this after it was issued, whatever its end is. */
const MAX_AGE_S = 24 * 3_600
const MAX_VALUES = 16
const MAX_VALUE_LENGTH = 512

/** An OIDC token whose signature, issuer, audience and dates are valid. */
export interface OidcProof {
  readonly claims: JWTPayload
  readonly issuedAtMs: number
  readonly expiresAtMs: number
}

/** The part of a token that is signed, as a name: another signature over the same part is the same token. */
export function sourceOfOidc(token: string): string {
  const signed = token.slice(0, token.lastIndexOf('.'))
  return `oidc:${createHash('sha256').update(signed).digest('hex')}`
}

/** The issuer that a token names; nothing of it is verified. Undefined if it cannot be read. */
export function claimedIssuer(token: string): string | undefined {
  if (token.length > MAX_TOKEN_LENGTH) return undefined
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
    return typeof payload === 'object' && payload !== null && 'iss' in payload ? String(payload.iss) : undefined
  } catch {
    return undefined
  }
}

/** Verifies a token. Throws TOKEN_REFUSED with the reason. */
export async function verifyOidc(
  token: string,
  keys: JWTVerifyGetKey,
  { issuer, audience }: { readonly issuer: string; readonly audience: string },
  nowMs: number
): Promise<OidcProof> {
  try {
    const { payload } = await jwtVerify(token, keys, {
      algorithms: ALGORITHMS,
      issuer,
      audience,
      clockTolerance: TOLERANCE_S,
      maxTokenAge: MAX_AGE_S,
      requiredClaims: ['exp', 'iat'],
      currentDate: new Date(nowMs)
    })
    const { iat = 0, exp = 0 } = payload
    return { claims: payload, issuedAtMs: iat * 1_000, expiresAtMs: (exp + TOLERANCE_S) * 1_000 }
  } catch (cause) {
    throw refusedOidc(reasonOf(cause), cause)
  }
}

/** The texts of a claim: itself, or each of a list. */
export function textsOf(claims: JWTPayload, claim: string): string[] {
  const value = claims[claim]
  const all = Array.isArray(value) ? value.slice(0, MAX_VALUES) : [value]
  return all.flatMap(one =>
    (typeof one === 'string' && one.length <= MAX_VALUE_LENGTH) || typeof one === 'number' || typeof one === 'boolean'
      ? [String(one)]
      : []
  )
}

/** Throws TOKEN_REFUSED unless each claim matches its pattern. */
export function requireClaims(claims: JWTPayload, required: readonly Source[]): void {
  for (const { field, pattern } of required) {
    if (textsOf(claims, field).some(text => partOf(pattern, text) !== undefined)) continue
    throw refusedOidc(`its claim ${field} does not match ${pattern}`)
  }
}

export function refusedOidc(reason: string, cause?: unknown): WarrenError {
  return new WarrenError(ErrorCode.TokenRefused, `the OIDC token is refused: ${reason}`, { cause })
}

// The messages of the library quote claims, never the token.
function reasonOf(cause: unknown): string {
  if (cause instanceof errors.JWTExpired) return 'it has expired'
  if (cause instanceof errors.JWTClaimValidationFailed)
    return `its claim ${cause.claim.slice(0, 40)} is not as it must be`
  if (cause instanceof errors.JOSEAlgNotAllowed) return 'its algorithm is not accepted'
  if (cause instanceof errors.JWSSignatureVerificationFailed) return 'its signature is not valid'
  if (cause instanceof errors.JWKSNoMatchingKey) return 'no key of the issuer has signed it'
  if (cause instanceof errors.JOSEError && !(cause instanceof errors.JWKSTimeout)) return 'it cannot be read'
  return 'the keys of the issuer cannot be fetched now'
}
