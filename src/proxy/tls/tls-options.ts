import { constants } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { TLS_GROUPS } from '../../core/index.ts'
import type { TlsCredentials } from '../deps.ts'

/** For who asks only which host this is: the agent shows its certificate, and closes. */
export const HOST_ALPN = 'warren-host/1'

/** A DNS label holds 63 characters, a registration id has 64; half of it identifies it well enough. */
const SNI_LENGTH = 32
const SNI = /^[0-9a-f]{32}$/

/** Options that all TLS endpoints of the proxy share. */
export const TLS_POLICY = Object.freeze({
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  // A resumed session is accepted without a client certificate, even by a server that demands one.
  secureOptions: constants.SSL_OP_NO_TICKET,
  // Pinned: the default is whatever a version of Node prefers, and accepts groups that are not post-quantum.
  ecdhCurve: TLS_GROUPS,
  // AES-128 first: it is the fastest, and the client's preference decides.
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'
} as const satisfies SecureContextOptions)

/** Server name that asks for the certificate of this registration. */
export function sniOf(registrationId: string): string {
  return registrationId.slice(0, SNI_LENGTH)
}

export function isSni(name: string): boolean {
  return SNI.test(name)
}

/** Options of a TLS context that shows `credentials` and trusts `roots`. */
export function contextOptions(credentials: TlsCredentials, roots: readonly string[]): SecureContextOptions {
  return {
    ...TLS_POLICY,
    cert: credentials.certPem,
    key: credentials.key.export({ type: 'pkcs8', format: 'pem' }),
    ca: [...roots]
  }
}

export function makeContext(credentials: TlsCredentials, roots: readonly string[]): SecureContext {
  return createSecureContext(contextOptions(credentials, roots))
}
