import { createHash, createHmac, randomBytes } from 'node:crypto'

/** The contents of a registration: the eight values whose hash names it. */
export interface IdentityDocument {
  readonly spiffeId: string
  readonly application: string
  readonly scope: string
  readonly pid: number
  readonly uid: number
  readonly registeredAtMs: number
  readonly machine: string
  readonly whitelist: readonly string[]
}

/** The only form of a document that is hashed: a JSON array, in the order of the interface. */
export function canonicalDocument(document: IdentityDocument): Buffer {
  const { spiffeId, application, scope, pid, uid, registeredAtMs, machine, whitelist } = document
  return Buffer.from(JSON.stringify([spiffeId, application, scope, pid, uid, registeredAtMs, machine, [...whitelist]]))
}

/** Hex SHA-256 of the document. May be public. */
export function registrationIdOf(document: IdentityDocument): string {
  return createHash('sha256').update(canonicalDocument(document)).digest('hex')
}

const NONCE_BYTES = 16
// Longer text is not one of our tokens, and is not hashed.
const MAX_TOKEN_LENGTH = 128

/** Makes session tokens, and recognises them by their hash only. */
export class SessionTokens {
  readonly #secret: Buffer

  /** `nodeSecret`: at least 32 random bytes, stored on disk. */
  constructor(nodeSecret: Buffer) {
    if (nodeSecret.length < 32) throw new RangeError('a node secret has at least 32 bytes')
    this.#secret = nodeSecret
  }

  /** A token for this registration: `w`, then HMAC-SHA256 over the document and a nonce in base64url; and its hash, to keep. */
  issue(document: IdentityDocument): { token: string; tokenHash: string } {
    const mac = createHmac('sha256', this.#secret).update(canonicalDocument(document)).update(randomBytes(NONCE_BYTES))
    // Without the `w`, one token in 64 would begin with a dash, and would be an option on a command line.
    const token = `w${mac.digest('base64url')}`
    return { token, tokenHash: this.hash(token) }
  }

  /**
   * The key by which a token is looked up.
   *
   * It is a keyed hash, so that the time of a look-up reveals nothing about tokens: a caller cannot choose the hash that is
   * compared.
   */
  hash(token: string): string {
    return createHmac('sha256', this.#secret)
      .update(token.slice(0, MAX_TOKEN_LENGTH + 1))
      .digest('hex')
  }
}
