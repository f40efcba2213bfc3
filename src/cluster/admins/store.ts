import type { KeyObject } from 'node:crypto'
import {
  generatePeerKeyPair,
  keyFromPem,
  keyToPem,
  type PeerKey,
  parsePeerKey,
  peerKeyOf,
  rawPublicKey
} from '../../identity/index.ts'
import type { AdminKey, Bundle, SetVersion } from '../../policy/index.ts'
import { damaged, type Vault, VaultFile } from '../../state/index.ts'
import { openOffer, setsIn, setsResponse } from './messages.ts'
import type { KeyElsewhere } from './signing.ts'

/** Bytes of all sets that can be held at once, with room to spare. */
const MAX_FILE_BYTES = 32 * 1024 * 1024

/** The sets of other admins on disk, and the key of the admin of this host. */
export class AdminStore {
  readonly #vault: Vault
  readonly #whose: { readonly rootKey: AdminKey; readonly trustDomain: string }

  constructor(vault: Vault, whose: { readonly rootKey: AdminKey; readonly trustDomain: string }) {
    this.#vault = vault
    this.#whose = whose
  }

  /** Throws STATE_UNUSABLE when the file is damaged: without it what other admins deny would be allowed. */
  load(): Array<readonly [AdminKey, Bundle]> {
    const bytes = this.#vault.read(VaultFile.PolicySets)
    if (bytes === undefined) return []
    // It is never written empty, and would be read as one of no sets.
    if (bytes.length === 0) throw damaged(this.#vault, VaultFile.PolicySets, 'is empty')
    try {
      return setsIn(bytes, MAX_FILE_BYTES).sets.map(offer => [
        offer.key,
        openOffer(offer, offer.signed ?? new Uint8Array(), this.#whose)
      ])
    } catch (cause) {
      throw damaged(this.#vault, VaultFile.PolicySets, 'is damaged', cause)
    }
  }

  /** Durable when it returns. */
  save(held: ReadonlyArray<SetVersion & { readonly set: Bundle }>): void {
    if (held.length === 0) this.#vault.remove(VaultFile.PolicySets)
    else this.#vault.write(VaultFile.PolicySets, setsResponse(held, MAX_FILE_BYTES))
  }

  /** The key of the admin of this host; undefined if it never made one. Throws STATE_UNUSABLE. */
  key(): KeyObject | KeyElsewhere | undefined {
    const bytes = this.#vault.read(VaultFile.OwnAdminKey)
    if (bytes === undefined) return undefined
    try {
      return bytes[0] === BRACE ? elsewhereIn(bytes) : keyFromPem(bytes)
    } catch (cause) {
      throw damaged(this.#vault, VaultFile.OwnAdminKey, 'is damaged', cause)
    }
  }

  /** Makes a key, in place of the one before. */
  makeKey(): KeyObject {
    const key = generatePeerKeyPair()
    this.#vault.write(VaultFile.OwnAdminKey, keyToPem(key))
    return key
  }

  /** From now on the key is one that is not here. One that was here is removed: its file holds the public half only. */
  useKey({ key, uri }: KeyElsewhere): void {
    this.#vault.write(VaultFile.OwnAdminKey, `${JSON.stringify({ key, uri })}\n`)
  }
}

const BRACE = '{'.charCodeAt(0)

function elsewhereIn(bytes: Uint8Array): KeyElsewhere {
  const { key, uri } = JSON.parse(Buffer.from(bytes).toString()) as Partial<Record<string, unknown>>
  if (typeof key !== 'string' || typeof uri !== 'string') throw new TypeError('it names no key')
  return { key: parsePeerKey(key), uri }
}

/** The public half of a key as people see it. */
export function publicTextOf(key: KeyObject): PeerKey {
  return peerKeyOf(rawPublicKey(key))
}
