import { createHash, type KeyObject } from 'node:crypto'
import { ErrorCode, WarrenError } from '../core/index.ts'
import { create, decode, identityPb, toBinary } from '../wire/index.ts'
import { parseTrustDomain } from './address.ts'
import type { Issuer } from './certificate/issue.ts'
import { type ParsedCertificate, parseCertificate } from './certificate/parse.ts'
import { isEd25519Key } from './ed25519-form.ts'
import { CONTEXT, signP256, verifyP256 } from './keys.ts'
import type { Revocation } from './revocation.ts'

/** The basis of the verifier: the roots and the admin key, believed without proof, and the revocations. Frozen. */
export interface TrustState {
  readonly trustDomain: string
  readonly version: bigint
  /** Oldest first; two during a rotation. */
  readonly roots: readonly ParsedCertificate[]
  /** Raw Ed25519 key (32 bytes). */
  readonly adminPublicKey: Uint8Array
  /** The revocations of the policy in force. A trust bundle has none. */
  readonly revocations: readonly Revocation[]
}

export const MAX_TRUST_BUNDLE_BYTES = 64 * 1024
const MAX_ROOTS = 4
const MAX_SIGNATURES = 8

export interface TrustBundleContent {
  readonly trustDomain: string
  readonly version: bigint
  /** DER, oldest first: the last one is the one that issues. */
  readonly roots: readonly Uint8Array[]
  readonly adminPublicKey: Uint8Array
  readonly nowMs: number
}

/**
 * A trust bundle signed by every root in it and, if it replaces another one, by a root of that. Bytes of a SignedTrustBundle.
 *
 * A signer that is not among its roots is included beside its signature, so that a host that still pins that root can open it.
 */
export function signTrustBundle(content: TrustBundleContent, signers: readonly Issuer[]): Uint8Array {
  const { trustDomain, version, roots, adminPublicKey, nowMs } = content
  const bundle = toBinary(
    identityPb.TrustBundleSchema,
    create(identityPb.TrustBundleSchema, {
      trustDomain,
      version,
      roots: [...roots],
      adminPublicKey,
      issuedAtMs: BigInt(nowMs)
    })
  )
  const own = new Set(roots.map(sha256Of))
  const signatures = signers.map(({ certificate, key }) => ({
    rootSha256: createHash('sha256').update(certificate).digest(),
    signature: signP256(key, CONTEXT.trustBundle, bundle),
    ...(own.has(sha256Of(certificate)) ? {} : { root: certificate })
  }))
  return toBinary(
    identityPb.SignedTrustBundleSchema,
    create(identityPb.SignedTrustBundleSchema, { bundle, signatures })
  )
}

/**
 * Opens a trust bundle that must be signed by the root with this fingerprint (hex SHA-256 of its DER), and by each root in it.
 *
 * The signatures are checked before anything in the bundle is used. Throws SIGNATURE_INVALID, MESSAGE_TOO_LARGE or
 * MESSAGE_MALFORMED.
 */
export function openTrustBundle(signed: Uint8Array, pinnedRootSha256: string): TrustState {
  return open(signed, root => root === pinnedRootSha256).state
}

/**
 * Opens a trust bundle that follows `current`: signed by a root that is trusted now and by each root in it, with a greater
 * version and the same trust domain and admin key. Throws like `openTrustBundle`.
 */
export function openSuccessor(signed: Uint8Array, current: TrustState): TrustState {
  const trusted = new Set(current.roots.map(({ sha256 }) => sha256))
  const { state } = open(signed, root => trusted.has(root))
  const sameKey = Buffer.from(state.adminPublicKey).equals(current.adminPublicKey)
  if (state.trustDomain !== current.trustDomain || !sameKey) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'the trust bundle has another trust domain or admin key')
  }
  if (state.version <= current.version) {
    throw new WarrenError(ErrorCode.MessageMalformed, `the trust bundle is no newer than version ${current.version}`)
  }
  return state
}

/** One bundle of the succession from the trust of the past to the present one. */
export interface TrustStep {
  readonly signed: Uint8Array
  readonly state: TrustState
}

/**
 * The bundles of a succession, oldest first, that are newer than `current`, each opened by the one before it. Throws like
 * `openSuccessor` at the first that does not follow.
 */
export function followSuccession(succession: readonly Uint8Array[], current: TrustState): TrustStep[] {
  const steps: TrustStep[] = []
  let state = current
  for (const signed of succession) {
    if (claimedVersion(signed) <= state.version) continue
    state = openSuccessor(signed, state)
    steps.push({ signed, state })
  }
  return steps
}

/**
 * The end of a succession that starts at a pinned root: the newest of its bundles that the pin opens, then those after it. Throws
 * SIGNATURE_INVALID when the pin opens none; otherwise like `followSuccession`.
 */
export function openSuccession(succession: readonly Uint8Array[], pinnedRootSha256: string): TrustState {
  for (let at = succession.length - 1; at >= 0; at -= 1) {
    const [first, ...rest] = succession.slice(at)
    if (first === undefined || !isOpenedBy(first, pinnedRootSha256)) continue
    const state = openTrustBundle(first, pinnedRootSha256)
    return followSuccession(rest, state).at(-1)?.state ?? state
  }
  throw new WarrenError(ErrorCode.SignatureInvalid, 'the pinned root signed no trust bundle')
}

/**
 * The fingerprint to pin before `next` takes the place of `current`, both open already. It opens either of them, so that the
 * one that is on disk after a crash can be read. If there are several, the newest root of `next`.
 */
export function pinBetween(current: Uint8Array, next: Uint8Array): string {
  const before = open(current, () => true)
  const after = open(next, () => true)
  const both = [...after.signers].filter(root => before.signers.has(root))
  const own = after.state.roots.findLast(({ sha256 }) => both.includes(sha256))
  const pin = own?.sha256 ?? both[0]
  if (pin === undefined) throw new WarrenError(ErrorCode.SignatureInvalid, 'no root signed both trust bundles')
  return pin
}

/** The version that a bundle claims. Nothing in it is verified. Throws MESSAGE_TOO_LARGE or MESSAGE_MALFORMED. */
function claimedVersion(signed: Uint8Array): bigint {
  const { bundle } = decode(identityPb.SignedTrustBundleSchema, signed, MAX_TRUST_BUNDLE_BYTES)
  return decode(identityPb.TrustBundleSchema, bundle, MAX_TRUST_BUNDLE_BYTES).version
}

function isOpenedBy(signed: Uint8Array, pin: string): boolean {
  try {
    return open(signed, () => true).signers.has(pin)
  } catch {
    return false
  }
}

interface Opened {
  readonly state: TrustState
  /** Fingerprints of the roots whose signatures are valid. */
  readonly signers: ReadonlySet<string>
}

function open(signed: Uint8Array, isTrusted: (rootSha256: string) => boolean): Opened {
  const envelope = decode(identityPb.SignedTrustBundleSchema, signed, MAX_TRUST_BUNDLE_BYTES)
  const message = decode(identityPb.TrustBundleSchema, envelope.bundle, MAX_TRUST_BUNDLE_BYTES)
  if (message.roots.length > MAX_ROOTS || envelope.signatures.length > MAX_SIGNATURES) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'the trust bundle has too many roots or signatures')
  }
  // Used only to find the keys: the fingerprints, not the bundle, decide which of them are trusted.
  const shown = new Map<string, Uint8Array>()
  for (const der of [...message.roots, ...envelope.signatures.map(({ root }) => root)]) {
    if (der.length > 0) shown.set(sha256Of(der), der)
  }
  const signers = new Set<string>()
  for (const { rootSha256, signature } of envelope.signatures) {
    const root = Buffer.from(rootSha256).toString('hex')
    const key = keyOf(shown.get(root))
    if (key !== undefined && verifyP256(key, CONTEXT.trustBundle, envelope.bundle, signature)) signers.add(root)
  }
  if (![...signers].some(isTrusted)) {
    throw new WarrenError(ErrorCode.SignatureInvalid, 'the trust bundle is not signed by a root that is trusted here')
  }
  if (message.roots.length === 0 || message.version === 0n || !isEd25519Key(message.adminPublicKey)) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'the trust bundle is not usable')
  }
  let roots: ParsedCertificate[]
  try {
    parseTrustDomain(message.trustDomain)
    roots = message.roots.map(parseCertificate)
  } catch (cause) {
    throw new WarrenError(ErrorCode.MessageMalformed, 'the trust bundle has a root or a name that cannot be read', {
      cause
    })
  }
  if (!roots.every(({ sha256 }) => signers.has(sha256))) {
    throw new WarrenError(ErrorCode.SignatureInvalid, 'the trust bundle is not signed by each of its roots')
  }
  const state = Object.freeze({
    trustDomain: message.trustDomain,
    version: message.version,
    roots: Object.freeze(roots),
    adminPublicKey: Uint8Array.from(message.adminPublicKey),
    revocations: Object.freeze([])
  })
  return { state, signers }
}

function keyOf(der: Uint8Array | undefined): KeyObject | undefined {
  try {
    return der === undefined ? undefined : parseCertificate(der).publicKey
  } catch (cause) {
    if (!WarrenError.is(cause, ErrorCode.CertificateRefused)) return undefined
    // The cause is stated: "not signed" would send the reader to look for another fault.
    throw new WarrenError(ErrorCode.MessageMalformed, `a root of the trust bundle: ${cause.reason}`, { cause })
  }
}

function sha256Of(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex')
}
