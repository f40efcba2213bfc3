import { createPublicKey, type KeyObject } from 'node:crypto'
import {
  generateSigningKeyPair,
  type Issuer,
  issueAuthority,
  issueNode,
  issueRoot,
  type ParsedCertificate,
  type PeerKey,
  parseCertificate,
  peerKeyOf,
  rawPublicKey,
  signBinding,
  signTrustBundle,
  spkiSha256
} from '../../../src/identity/index.ts'
import { hostKeyOf } from '../keys.ts'

export const TRUST_DOMAIN = 'sim.example'
/** Where every wall clock starts. */
export const EPOCH_MS = Date.UTC(2026, 5, 1)

/** A host as its authority has admitted it. */
export interface Identity {
  readonly machine: string
  readonly key: KeyObject
  readonly peer: PeerKey
  /** DER: node CA, authority, root. */
  readonly chain: readonly Uint8Array[]
}

/** A trust domain with real keys and certificates, all of which a simulation may use again for another seed. */
export class SimDomain {
  readonly adminKey: KeyObject = hostKeyOf(0, 'admin')
  readonly #roots: readonly Issuer[]
  readonly #authority: Issuer
  readonly #identities: Identity[] = []
  readonly #bundles = new Map<string, Uint8Array>()

  private constructor(roots: readonly Issuer[], authority: Issuer) {
    this.#roots = roots
    this.#authority = authority
  }

  static async create(): Promise<SimDomain> {
    // The last one is of somebody else.
    const roots = await Promise.all([0, 1, 2].map(makeRoot))
    const [root] = roots
    if (root === undefined) throw new Error('no root')
    const key = generateSigningKeyPair()
    const certificate = await issueAuthority({
      trustDomain: TRUST_DOMAIN,
      root,
      publicKey: createPublicKey(key),
      nowMs: EPOCH_MS
    })
    return new SimDomain(roots, { certificate, key })
  }

  /** The fingerprint of the root that every host pins. */
  get pin(): string {
    const [root] = this.#roots
    if (root === undefined) throw new Error('no root')
    return parseCertificate(root.certificate).sha256
  }

  /** Roots of somebody else. */
  get foreignRoots(): readonly ParsedCertificate[] {
    return this.#roots.slice(2).map(({ certificate }) => parseCertificate(certificate))
  }

  /** A trust bundle: odd versions have the one root, even ones a second beside it. `isForged`: with a root of somebody else. */
  trustBundle(version: bigint, isForged = false): Uint8Array {
    const name = `${version} ${isForged}`
    // Signed once: two signatures of ECDSA over the same bytes differ.
    const signed = this.#bundles.get(name) ?? this.#signBundle(version, isForged)
    this.#bundles.set(name, signed)
    return signed
  }

  #signBundle(version: bigint, isForged: boolean): Uint8Array {
    const [first, second, foreign] = this.#roots
    if (first === undefined || second === undefined || foreign === undefined) throw new Error('no roots')
    const roots = isForged ? [foreign] : version % 2n === 1n ? [first] : [first, second]
    return signTrustBundle(
      {
        trustDomain: TRUST_DOMAIN,
        version,
        roots: roots.map(({ certificate }) => certificate),
        adminPublicKey: rawPublicKey(this.adminKey),
        nowMs: EPOCH_MS
      },
      roots
    )
  }

  /** Identities of the first `count` hosts. */
  async identities(count: number): Promise<readonly Identity[]> {
    for (let at = this.#identities.length; at < count; at += 1) this.#identities.push(await this.#identity(`n${at}`))
    return this.#identities.slice(0, count)
  }

  async #identity(machine: string): Promise<Identity> {
    const key = hostKeyOf(0, machine)
    const publicKey = createPublicKey(generateSigningKeyPair())
    const binding = signBinding(
      { trustDomain: TRUST_DOMAIN, machine, scopes: [], nodeKeySha256: spkiSha256(publicKey) },
      key
    )
    const authority = this.#authority
    const options = { trustDomain: TRUST_DOMAIN, machine, authority, publicKey, binding, nowMs: EPOCH_MS }
    const root = this.#roots[0]?.certificate ?? new Uint8Array()
    const chain = [await issueNode(options), authority.certificate, root]
    return { machine, key, peer: peerKeyOf(rawPublicKey(key)), chain }
  }
}

async function makeRoot(): Promise<Issuer> {
  const key = generateSigningKeyPair()
  return { certificate: await issueRoot({ trustDomain: TRUST_DOMAIN, key, nowMs: EPOCH_MS }), key }
}

let shared: Promise<SimDomain> | undefined

/** The domain of this process: to make one takes longer than a short simulation. */
export function sharedDomain(): Promise<SimDomain> {
  shared ??= SimDomain.create()
  return shared
}
