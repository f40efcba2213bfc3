import { createHash } from 'node:crypto'

/** Of every token, and of the keys in them. */
export const ALGORITHM = 'ES256'

/** The name of a key, SubjectPublicKeyInfo in base64, in headers of tokens and in key sets. */
export function keyId(spki: string): string {
  return createHash('sha256').update(spki, 'base64').digest('base64url').slice(0, 32)
}
