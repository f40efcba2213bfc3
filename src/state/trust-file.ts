import {
  openTrustBundle,
  type ParsedCertificate,
  parseCertificate,
  pinBetween,
  type TrustState,
  type TrustStep
} from '../identity/index.ts'
import { create, decode, identityPb, toBinary, trustPb } from '../wire/index.ts'
import { damaged } from './cure.ts'
import { type Vault, VaultFile } from './vault.ts'

/** Bundles that are kept and served: a host that missed more rotations than that needs a new token. */
export const MAX_SUCCESSION = 8
const MAX_HISTORY_BYTES = 512 * 1024

/** The trust of this host, on disk: the bundle, the root that it pins to open it, and the bundles before it. */
export class TrustFile {
  readonly #vault: Vault
  #state: TrustState
  #succession: readonly Uint8Array[]

  /** Throws STATE_UNUSABLE when the files are missing or damaged. */
  constructor(vault: Vault) {
    this.#vault = vault
    const signed = vault.require(VaultFile.TrustBundle)
    const pin = vault.require(VaultFile.RootFingerprint).toString('utf8').trim()
    if (!/^[0-9a-f]{64}$/.test(pin)) throw damaged(vault, VaultFile.RootFingerprint)
    try {
      this.#state = openTrustBundle(signed, pin)
    } catch (cause) {
      throw damaged(
        vault,
        VaultFile.TrustBundle,
        `does not hold, by the root that ${VaultFile.RootFingerprint} names`,
        cause
      )
    }
    // A crash may have kept the newest bundle out of it.
    const before = readHistory(vault).filter(bundle => contentOf(bundle).version < this.#state.version)
    this.#succession = [...before, signed].slice(-MAX_SUCCESSION)
  }

  get state(): TrustState {
    return this.#state
  }

  /** The last bundles, oldest first; the last of them is in force. */
  get succession(): readonly Uint8Array[] {
    return this.#succession
  }

  /** Those of the last bundles that are newer than a version, oldest first. */
  since(version: bigint): Uint8Array[] {
    return this.#succession.filter(bundle => contentOf(bundle).version > version)
  }

  /** Bytes of the SignedTrustBundle in force. */
  get signed(): Uint8Array {
    return this.#succession.at(-1) ?? new Uint8Array()
  }

  /** Former roots, as far as they are remembered. */
  formerRoots(): ParsedCertificate[] {
    const now = new Set(this.#state.roots.map(({ sha256 }) => sha256))
    const all = this.#succession.flatMap(bundle => contentOf(bundle).roots.map(parseCertificate))
    return all.filter(({ sha256 }) => !now.has(sha256))
  }

  /** Puts the next bundle in force; durable when it returns. A crash at any instant leaves a bundle and a pin that opens it. */
  follow({ signed, state }: TrustStep): void {
    const pin = pinBetween(this.signed, signed)
    this.#vault.write(VaultFile.RootFingerprint, pin)
    this.#vault.write(VaultFile.TrustBundle, signed)
    this.#succession = [...this.#succession, signed].slice(-MAX_SUCCESSION)
    this.#state = state
    const history = create(trustPb.TrustHistorySchema, { bundles: [...this.#succession] })
    this.#vault.write(VaultFile.TrustHistory, toBinary(trustPb.TrustHistorySchema, history))
  }
}

function readHistory(vault: Vault): readonly Uint8Array[] {
  const file = vault.read(VaultFile.TrustHistory)
  if (file === undefined) return []
  let bundles: readonly Uint8Array[]
  try {
    bundles = decode(trustPb.TrustHistorySchema, file, MAX_HISTORY_BYTES).bundles
    for (const bundle of bundles) contentOf(bundle)
  } catch (cause) {
    throw damaged(vault, VaultFile.TrustHistory, 'is damaged', cause)
  }
  // It is never written without one; an empty file can be read, too.
  if (bundles.length === 0) throw damaged(vault, VaultFile.TrustHistory)
  return bundles
}

// From our own disk: each was opened before it was written.
function contentOf(signed: Uint8Array): identityPb.TrustBundle {
  const { bundle } = decode(identityPb.SignedTrustBundleSchema, signed, MAX_HISTORY_BYTES)
  return decode(identityPb.TrustBundleSchema, bundle, MAX_HISTORY_BYTES)
}
