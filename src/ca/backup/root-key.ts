import { createPublicKey } from 'node:crypto'
import { ErrorCode, standsAt, WarrenError, writeOutput } from '../../core/index.ts'
import { keyFromPem } from '../../identity/index.ts'
import { type Vault, VaultFile } from '../../state/index.ts'
import { decodeBackup, encodeBackup } from './content.ts'
import { SealedKind, seal, unseal } from './sealed.ts'
import { readSealedFile } from './sealed-file.ts'
import { whoseState } from './whose.ts'

/**
 * Writes the root key, sealed, to a new file and only then removes it from the state directory; the agent may run.
 *
 * The file is read back and opened before anything is removed. Throws NOT_FOUND when the key is not on this host, NOT_READY
 * during a rotation of the root, ALREADY_EXISTS when the file exists, NOT_INITIALIZED, STATE_UNUSABLE; like `seal`.
 */
export async function exportRootKey(stateDir: string, file: string, passphrase: string, nowMs: number): Promise<void> {
  const { vault, trust, machine } = whoseState(stateDir)
  const pem = vault.read(VaultFile.RootKey)
  if (pem === undefined) {
    throw new WarrenError(ErrorCode.NotFound, 'the root key is not on this host', {
      hint: 'It was exported before, or is on the founding host.'
    })
  }
  requireNoRotation(vault)
  // This also detects a link to a missing file, and a device.
  if (standsAt(file) !== undefined) {
    throw new WarrenError(ErrorCode.AlreadyExists, `${file} exists`, {
      hint: 'It may hold the only copy of a root key.'
    })
  }
  const { trustDomain } = trust
  const content = encodeBackup({ trustDomain, machine, madeAtMs: nowMs, files: new Map([[VaultFile.RootKey, pem]]) })
  writeOutput(file, await seal(SealedKind.RootKey, content, passphrase), { what: 'an exported root key' })
  const written = decodeBackup(await unseal(SealedKind.RootKey, readSealedFile(file), passphrase))
  if (!pem.equals(written.files.get(VaultFile.RootKey) ?? Buffer.of())) {
    throw new WarrenError(ErrorCode.FileDamaged, `${file} does not hold what was written to it; nothing was removed`)
  }
  vault.remove(VaultFile.RootKey)
}

/**
 * Imports an exported root key; the agent may run. A key that is here already stays as it is.
 *
 * Throws CERTIFICATE_REFUSED when it is not a root of this trust domain, ALREADY_EXISTS over another key, NOT_READY during a
 * rotation of the root, NOT_INITIALIZED, STATE_UNUSABLE; like `unseal`.
 */
export async function importRootKey(stateDir: string, sealed: Uint8Array, passphrase: string): Promise<void> {
  const { vault, trust } = whoseState(stateDir)
  const pem = decodeBackup(await unseal(SealedKind.RootKey, sealed, passphrase)).files.get(VaultFile.RootKey)
  if (pem === undefined) throw new WarrenError(ErrorCode.FileDamaged, 'the file holds no key')
  const publicKey = createPublicKey(keyFromPem(Buffer.from(pem)))
  if (!trust.roots.some(root => root.publicKey.equals(publicKey))) {
    throw new WarrenError(ErrorCode.CertificateRefused, `the key is not that of a root of ${trust.trustDomain}`)
  }
  requireNoRotation(vault)
  const present = vault.read(VaultFile.RootKey)
  if (present !== undefined && !present.equals(pem)) {
    throw new WarrenError(ErrorCode.AlreadyExists, 'another root key is on this host already')
  }
  vault.write(VaultFile.RootKey, pem)
}

// To finish a rotation, the keys of both roots are needed, and one file holds one key.
function requireNoRotation(vault: Vault): void {
  if (vault.read(VaultFile.FormerRootKey) === undefined) return
  throw new WarrenError(ErrorCode.NotReady, 'a rotation of the root is in progress', {
    hint: 'End it first: `warren root rotate --finish`.'
  })
}
