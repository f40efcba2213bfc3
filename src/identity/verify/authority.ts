import { spkiSha256 } from '../certificate/binding.ts'
import type { ParsedCertificate } from '../certificate/parse.ts'
import type { TrustState } from '../trust-bundle.ts'
import { read } from './checks.ts'
import { checkCa, checkRoot } from './node.ts'
import { Refusal, type Verdict, verdictOf } from './verdict.ts'

/** The facts that an authority certificate proves. */
export interface AuthorityIdentity {
  readonly certificate: ParsedCertificate
  /** The trusted root that signed it. */
  readonly root: ParsedCertificate
  /** Hex SHA-256 of its SubjectPublicKeyInfo: a revocation names the authority by it. */
  readonly keySha256: string
  /** The earlier expiry of the two. */
  readonly notAfterMs: number
}

/** Hex SHA-256 of the SubjectPublicKeyInfo of a certificate. */
export function keySha256Of({ publicKey }: ParsedCertificate): string {
  return Buffer.from(spkiSha256(publicKey)).toString('hex')
}

/** The root that signed an authority certificate, the newest if several did; undefined if no trusted root did. */
export function rootOfAuthority(der: Uint8Array, { roots }: TrustState): ParsedCertificate | undefined {
  const known = rooted.get(der)
  if (known?.roots === roots) return known.root
  const root = signerOf(der, roots)
  rooted.set(der, { roots, root })
  return root
}

// Kept: called several times a second for one authority, and for each host that it renews; roots change once in years.
const rooted = new WeakMap<
  Uint8Array,
  { readonly roots: readonly ParsedCertificate[]; readonly root: ParsedCertificate | undefined }
>()

function signerOf(der: Uint8Array, roots: readonly ParsedCertificate[]): ParsedCertificate | undefined {
  try {
    const certificate = read(der, 'the authority')
    return roots.findLast(root => certificate.isSignedBy(root))
  } catch {
    return undefined
  }
}

/**
 * Verifies an authority certificate without a chain: signed by a trusted root, a CA as its place demands, not expired or expired
 * less than `graceMs` ago, its key not revoked.
 */
export function verifyAuthority(
  der: Uint8Array,
  trust: TrustState,
  nowMs: number,
  graceMs = 0
): Verdict<AuthorityIdentity> {
  return verdictOf(() => {
    const certificate = read(der, 'the authority')
    const root = rootOfAuthority(der, trust)
    if (root === undefined) throw new Refusal('wrong-root', 'the authority is below no trusted root')
    checkRoot(root, trust, nowMs)
    const { notAfterMs } = certificate
    if (nowMs >= notAfterMs && nowMs - notAfterMs >= graceMs) {
      throw new Refusal('expired', `the authority ended at ${new Date(notAfterMs).toISOString()}`)
    }
    checkCa(certificate, root, 'the authority', 1, trust, Math.min(nowMs, notAfterMs - 1))
    const keySha256 = keySha256Of(certificate)
    const revocation = trust.revocations.find(({ keys }) => keys.includes(keySha256))
    if (revocation !== undefined) throw new Refusal('revoked', `the key of the authority is revoked (${revocation.id})`)
    return Object.freeze({ certificate, root, keySha256, notAfterMs: Math.min(notAfterMs, root.notAfterMs) })
  })
}
