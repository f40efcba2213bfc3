import { ErrorCode, type Logger, WarrenError } from '../core/index.ts'
import { type Bundle, openBundle } from '../policy/index.ts'
import { damaged, POLICY_SETTING, type Store, UNHEARD_SETTING, type Vault, VaultFile } from '../state/index.ts'

export interface PolicyStoreDeps {
  readonly vault: Vault
  readonly store: Pick<Store, 'setting' | 'setSetting' | 'unset'>
  readonly trustDomain: string
  readonly adminPublicKey: Uint8Array
  readonly log: Logger
}

/**
 * The signed policy on disk, twice: in the database, and in a file of its own beside the keys.
 *
 * So a database that is lost, or replaced by an older copy, can neither undo evictions nor make the admin key sign one
 * version twice.
 */
export class PolicyStore {
  readonly #deps: PolicyStoreDeps

  constructor(deps: PolicyStoreDeps) {
    this.#deps = deps
  }

  /** The newer of the two policies, which is in both when this returns. Throws STATE_UNUSABLE when one of them is damaged. */
  load(): Uint8Array | undefined {
    const { vault, store, log } = this.#deps
    const inFile = vault.read(VaultFile.PolicyBundle)
    const inDatabase = store.setting(POLICY_SETTING)
    const file = inFile && this.#open(inFile, cause => damaged(vault, VaultFile.PolicyBundle, 'is damaged', cause))
    // Only an undamaged copy is noted: if a damaged one is removed, the earlier note still applies.
    if (file !== undefined) this.#note(file.signed)
    const row = inDatabase && this.#open(inDatabase, inDatabaseDamaged)
    const fields = { path: vault.path(VaultFile.PolicyBundle), policyVersion: String((file ?? row)?.version ?? 0n) }
    if (file !== undefined && file.version > (row?.version ?? 0n)) {
      log.warn('the policy in the database is older than its copy beside the keys; the copy is used', fields)
      store.setSetting(POLICY_SETTING, file.signed)
      return file.signed
    }
    if (row !== undefined && file === undefined)
      log.warn('policy.bundle was missing; it is made again from the database', fields)
    if (row !== undefined && row.sha256 !== file?.sha256) this.#write(row.signed)
    return row?.signed
  }

  /**
   * Stores a newer policy; durable when it returns. The file comes first, because the database may be lost: after a crash in
   * between, the newer one is loaded.
   */
  save(signed: Uint8Array): void {
    const { vault, store } = this.#deps
    const former = vault.read(VaultFile.PolicyBundle)
    try {
      this.#write(signed)
      store.setSetting(POLICY_SETTING, signed)
    } catch (err) {
      // A change that was refused to the admin must not come into force at the next start.
      if (former === undefined) vault.remove(VaultFile.PolicyBundle)
      else this.#write(former)
      throw err
    }
  }

  /** Records that the policy is lost: nothing may be signed before another host has reported the one in force. */
  noteLost(): void {
    this.#deps.store.setSetting(UNHEARD_SETTING, Buffer.of(1))
  }

  /** Whether the policy is lost and nobody has been heard since, nor a new one begun. */
  get isUnheard(): boolean {
    return this.#deps.store.setting(UNHEARD_SETTING) !== undefined
  }

  /** Notes that what is stored is in force: by what another host has said, or by a new policy. */
  noteHeard(): void {
    if (this.isUnheard) this.#deps.store.unset(UNHEARD_SETTING)
  }

  #write(signed: Uint8Array): void {
    this.#deps.vault.write(VaultFile.PolicyBundle, signed)
    this.#note(signed)
  }

  // Noted, so that an older copy of the database can be distinguished from a replacement for a lost file.
  #note(signed: Uint8Array): void {
    this.#deps.vault.manifest.noteContent(VaultFile.PolicyBundle, signed)
  }

  #open(signed: Uint8Array, failure: (cause: unknown) => WarrenError): Bundle {
    const { adminPublicKey, trustDomain } = this.#deps
    try {
      return openBundle(signed, adminPublicKey, trustDomain)
    } catch (cause) {
      throw failure(cause)
    }
  }
}

function inDatabaseDamaged(cause: unknown): WarrenError {
  return new WarrenError(ErrorCode.StateUnusable, 'the policy in the database is damaged', {
    cause,
    hint: 'Put the database back from a backup, or remove it and start once with --accept-lost-state; see "Lost state" in docs/backup.md.'
  })
}
