import { X509Certificate } from 'node:crypto'
import type { WarrenError } from '../../core/index.ts'
import { toPem } from '../../identity/index.ts'

const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/** Certificates (DER) as one PEM file, which other tools read too. */
export function encodeChain(chain: readonly Uint8Array[]): string {
  return chain.map(toPem).join('')
}

/** The certificates of a PEM file, DER, in their order: at least one. Throws the error that `failure` makes. */
export function decodeChain(file: Buffer, failure: (cause?: unknown) => WarrenError): Uint8Array[] {
  let chain: Uint8Array[]
  try {
    chain = [...file.toString('latin1').matchAll(BLOCK)].map(([block]) => new X509Certificate(block).raw)
  } catch (cause) {
    throw failure(cause)
  }
  if (chain.length === 0) throw failure()
  return chain
}
