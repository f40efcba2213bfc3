import { X509Certificate } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { toPem } from '../../identity/index.ts'

const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/** Certificates (DER) as one PEM file, which other tools read too. */
export function encodeChain(chain: readonly Uint8Array[]): string {
  return chain.map(toPem).join('')
}

/** The certificates of a PEM file, DER, in their order. Throws STATE_UNUSABLE. */
export function decodeChain(file: Buffer): Uint8Array[] {
  try {
    return [...file.toString('latin1').matchAll(BLOCK)].map(([block]) => new X509Certificate(block).raw)
  } catch (cause) {
    throw new WarrenError(ErrorCode.StateUnusable, 'the certificate file of this host is damaged', { cause })
  }
}
