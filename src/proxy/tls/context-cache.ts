import type { SecureContext } from 'node:tls'
import type { TlsCredentials } from '../deps.ts'
import { makeContext } from './tls-options.ts'

interface Entry {
  readonly certPem: string
  /** As text; and the list that had it last, for each flow asks. */
  readonly roots: string
  list: readonly string[]
  readonly context: SecureContext
}

/** One registration's context and the certificate in it. */
export interface CachedContext {
  readonly certPem: string
  readonly context: SecureContext
}

/** What a session to be dialled shows; `isPatient` as in `DialOptions`. */
export type DialContext = CachedContext & { readonly isPatient?: boolean }

/**
 * One TLS context for each registration of this host, for both roles.
 *
 * Making one costs more than the cryptography of a handshake. A renewed certificate or a changed root replaces it.
 * There are no more contexts than local registrations: call `drop` for each that ends.
 */
export class ContextCache {
  readonly #entries = new Map<string, Entry>()
  readonly #svid: (registrationId: string) => Promise<TlsCredentials>
  readonly #roots: () => readonly string[]

  constructor(svid: (registrationId: string) => Promise<TlsCredentials>, roots: () => readonly string[]) {
    this.#svid = svid
    this.#roots = roots
  }

  /** Returns the context of a local registration. Rejects with INVALID_SOURCE when there is none. */
  async get(registrationId: string): Promise<CachedContext> {
    const credentials = await this.#svid(registrationId)
    const roots = this.#roots()
    const known = this.#entries.get(registrationId)
    const isCurrent = known?.certPem === credentials.certPem
    if (isCurrent && known.list === roots) return known
    const joined = roots.join('\n')
    if (isCurrent && known.roots === joined) {
      known.list = roots
      return known
    }
    const entry = { certPem: credentials.certPem, roots: joined, list: roots, context: makeContext(credentials, roots) }
    this.#entries.set(registrationId, entry)
    return entry
  }

  drop(registrationId: string): void {
    this.#entries.delete(registrationId)
  }
}
