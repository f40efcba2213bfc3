import { type KeyObject, randomBytes } from 'node:crypto'
import { type JSONWebKeySet, type JWK, SignJWT } from 'jose'
import { generateSigningKeyPair } from '../identity/index.ts'
import { type JwtHost, keySet } from './jwt.ts'
import { announcedKey } from './membership/index.ts'
import { ALGORITHM, keyId } from './token-keys.ts'

/** A token that proves nothing without the private key that it names: it is no bearer token. */
export interface Wit {
  readonly token: string
  /** Private, as a JWK in JSON. */
  readonly key: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

const TYPE = 'wit+jwt'
const JTI_BYTES = 16

/**
 * Signs one WIT-SVID for a new key, as of revision 665a28f of its specification:
 * https://github.com/spiffe/spiffe/blob/665a28f3253ecdce59f26f3ef29c0d6408b37c3d/standards/WIT-SVID.md
 */
export async function signWit(signer: KeyObject, spiffeId: string, nowMs: number, lifetimeMs: number): Promise<Wit> {
  const { kty, crv, x, y, d } = generateSigningKeyPair().export({ format: 'jwk' })
  const jwk = { kty, crv, x, y, alg: ALGORITHM } as JWK
  const nowS = Math.floor(nowMs / 1_000)
  const notAfterS = nowS + Math.floor(lifetimeMs / 1_000)
  const token = await new SignJWT({ cnf: { jwk } })
    .setProtectedHeader({ alg: ALGORITHM, kid: witKeyId(announcedKey(signer)), typ: TYPE })
    .setSubject(spiffeId)
    .setIssuedAt(nowS)
    .setExpirationTime(notAfterS)
    .setJti(randomBytes(JTI_BYTES).toString('base64url'))
    .sign(signer)
  return { token, key: JSON.stringify({ ...jwk, d }), notBeforeMs: nowS * 1_000, notAfterMs: notAfterS * 1_000 }
}

/** The public keys of these hosts, as the JWK set of a WIT bundle. */
export function witKeySet(hosts: readonly JwtHost[]): JSONWebKeySet {
  return { keys: keySet(hosts).keys.map(key => ({ ...key, kid: `${WIT_KEY}${key.kid}`, use: 'wit-svid' })) }
}

// The key that signs JWT-SVIDs signs these, too: under another name, so that no verifier takes one kind for the other.
const WIT_KEY = 'wit.'

function witKeyId(spki: string): string {
  return `${WIT_KEY}${keyId(spki)}`
}
