import type { KeyObject } from 'node:crypto'
import { type JSONWebKeySet, type JWK, type JWTPayload, jwtVerify, SignJWT } from 'jose'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { addressOfSpiffeId, p256KeyOf } from '../identity/index.ts'
import { announcedKey } from './membership/index.ts'
import { ALGORITHM, keyId } from './token-keys.ts'

/** A host that may sign JWT-SVIDs, as its certificate and its head describe it. */
export interface JwtHost {
  readonly machine: string
  /** Empty: all. */
  readonly scopes: readonly string[]
  /** SubjectPublicKeyInfo, DER, in base64, as announced: not validated. */
  readonly jwtKeys: readonly string[]
}

const MAX_TOKEN_LENGTH = 16_384
const MAX_AUDIENCES = 16
const MAX_AUDIENCE_LENGTH = 256

/** Signs one JWT-SVID; with `issuer`, one that relying parties of OIDC take. Throws INVALID_ARGUMENT for an invalid audience. */
export async function signJwt(
  key: KeyObject,
  spiffeId: string,
  audience: readonly string[],
  nowMs: number,
  lifetimeMs: number,
  issuer?: string
): Promise<string> {
  const usable = audience.length > 0 && audience.length <= MAX_AUDIENCES
  if (!usable || audience.some(one => one === '' || one.length > MAX_AUDIENCE_LENGTH)) {
    throw new WarrenError(ErrorCode.InvalidArgument, `a JWT-SVID has 1 to ${MAX_AUDIENCES} audiences`)
  }
  const nowS = Math.floor(nowMs / 1_000)
  const token = await new SignJWT(issuer === undefined ? {} : { iss: issuer })
    .setProtectedHeader({ alg: ALGORITHM, kid: keyId(announcedKey(key)), typ: 'JWT' })
    .setSubject(spiffeId)
    .setAudience([...audience])
    .setIssuedAt(nowS)
    .setExpirationTime(nowS + lifetimeMs / 1_000)
    .sign(key)
  // A validator would refuse it: a character of an audience takes up to four bytes, and a third more in base64.
  if (token.length <= MAX_TOKEN_LENGTH) return token
  throw new WarrenError(ErrorCode.InvalidArgument, `the audiences make a token of more than ${MAX_TOKEN_LENGTH} bytes`)
}

/**
 * Verifies a JWT-SVID: signed by a key of a known host, in date, for this audience, and for a workload of that same host
 * and of its scopes.
 *
 * Throws INVALID_ARGUMENT, as the Workload API demands, with the reason.
 */
export async function validateJwt(
  token: string,
  audience: string,
  trustDomain: string,
  hosts: readonly JwtHost[],
  nowMs: number
): Promise<{ readonly spiffeId: string; readonly claims: JWTPayload }> {
  if (audience === '' || audience.length > MAX_AUDIENCE_LENGTH) throw refused('the audience is missing or too long')
  if (token.length > MAX_TOKEN_LENGTH) throw refused('it is too long')
  // Any host can announce the key of another one, so several may have it.
  let signers: readonly JwtHost[] = []
  let payload: JWTPayload
  try {
    const verified = await jwtVerify(
      token,
      ({ kid, typ }) => {
        if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE') throw new TypeError('its type is not JWT')
        const isIt = (spki: string): boolean => keyId(spki) === kid
        signers = hosts.filter(({ jwtKeys }) => jwtKeys.some(isIt))
        const found = signers[0]?.jwtKeys.find(isIt)
        const key = found === undefined ? undefined : usableKey(found)
        if (key === undefined) throw new TypeError('no live host has its key')
        return key
      },
      { algorithms: [ALGORITHM], audience, currentDate: new Date(nowMs), requiredClaims: ['sub', 'aud', 'exp'] }
    )
    payload = verified.payload
  } catch (err) {
    throw refused(err instanceof Error ? err.message : String(err))
  }
  const spiffeId = payload.sub ?? ''
  const address = addressOfSpiffeId(trustDomain, spiffeId)
  if (address === undefined) throw refused('it names no workload of this trust domain')
  const signer = signers.find(({ machine }) => machine === address.machine)
  if (signer === undefined) throw refused(`${signers[0]?.machine} signed for a workload of another machine`)
  if (signer.scopes.length > 0 && !signer.scopes.includes(address.scope)) {
    throw refused(`${signer.machine} may not run workloads of scope ${address.scope}`)
  }
  return { spiffeId, claims: payload }
}

/** The public keys of these hosts, as a JWK set. Keys that cannot be used are left out. */
export function keySet(hosts: readonly JwtHost[]): JSONWebKeySet {
  return { keys: hosts.flatMap(({ jwtKeys }) => jwksOf(jwtKeys)).map(jwk => ({ ...jwk, use: 'jwt-svid' })) }
}

/** The same keys, each with its host, for uses that SPIFFE does not define. */
export function tokenKeys(
  hosts: readonly JwtHost[]
): ReadonlyArray<{ readonly machine: string; readonly jwk: string }> {
  return hosts.flatMap(({ machine, jwtKeys }) => jwksOf(jwtKeys).map(jwk => ({ machine, jwk: JSON.stringify(jwk) })))
}

function jwksOf(jwtKeys: readonly string[]): JWK[] {
  return jwtKeys.flatMap(spki => {
    const key = usableKey(spki)
    if (key === undefined) return []
    const { kty, crv, x, y } = key.export({ format: 'jwk' })
    if (kty === undefined || crv === undefined || x === undefined || y === undefined) return []
    return [{ kty, crv, x, y, kid: keyId(spki), alg: ALGORITHM }]
  })
}

// A host can announce anything; only a P-256 key in its one form is accepted, or one key would have two ids.
function usableKey(spki: string): KeyObject | undefined {
  try {
    return p256KeyOf(Buffer.from(spki, 'base64'), 'the key')
  } catch {
    return undefined
  }
}

function refused(why: string): WarrenError {
  return new WarrenError(ErrorCode.InvalidArgument, `the JWT-SVID is refused: ${why}`)
}
