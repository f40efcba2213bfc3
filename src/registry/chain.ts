import { ErrorCode, WarrenError } from '../core/index.ts'
import type { Limits } from './limits.ts'

/** Checks the size of a certificate chain (DER), ours or another host's, before anything is read. Throws MESSAGE_MALFORMED. */
export function boundChain(chain: readonly Uint8Array[], limits: Limits): void {
  const { maxChain, maxCertificateBytes } = limits
  if (chain.length <= maxChain && chain.every(certificate => certificate.length <= maxCertificateBytes)) return
  throw new WarrenError(ErrorCode.MessageMalformed, 'a certificate chain is too long', { limit: 'registry_chain' })
}
