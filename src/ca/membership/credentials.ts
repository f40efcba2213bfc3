import { createPublicKey, type KeyObject } from 'node:crypto'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import {
  generateSigningKeyPair,
  type Issuer,
  keyFromPem,
  keyToPem,
  type NodeIdentity,
  type ParsedCertificate,
  parseCertificate,
  type TrustState,
  verifyRenewable
} from '../../identity/index.ts'
import { damaged, type Vault, VaultFile } from '../../state/index.ts'
import { decodeChain, encodeChain } from './chain-file.ts'

export interface NodeCredentials {
  readonly node: NodeIdentity
  readonly nodeKey: KeyObject
}

/**
 * The current certificates of this host, and their keys: a renewal replaces them while the agent runs.
 *
 * Read them again for each use, and keep none of them.
 */
export class Credentials {
  readonly #vault: Vault
  readonly #listeners: Array<() => void> = []
  #own: NodeCredentials
  #authority: Issuer | undefined

  constructor(vault: Vault, own: NodeCredentials, authority: Issuer | undefined) {
    this.#vault = vault
    this.#own = own
    this.#authority = authority
  }

  get node(): NodeIdentity {
    return this.#own.node
  }

  /** The CA key of `node`. */
  get nodeKey(): KeyObject {
    return this.#own.nodeKey
  }

  /** DER: node CA, authority. Send both behind a leaf; the first is its signer. */
  get issuers(): { readonly signer: Issuer; readonly chainDer: readonly Uint8Array[] } {
    const { node, nodeKey } = this.#own
    const [certificate, authority] = node.chainDer
    if (certificate === undefined || authority === undefined) throw new WarrenError(ErrorCode.Internal, 'no node chain')
    return { signer: { certificate, key: nodeKey }, chainDer: [certificate, authority] }
  }

  /** Present on a host that admits others. */
  get authority(): Issuer | undefined {
    return this.#authority
  }

  /**
   * The newest trusted root whose key is on this host. Read anew each time: a key may be removed from this host, and restored,
   * while the agent runs. Throws STATE_UNUSABLE.
   */
  rootIssuer({ roots }: TrustState): Issuer | undefined {
    const keys = this.rootKeys()
    for (const root of roots.toReversed()) {
      const key = keys.find(candidate => createPublicKey(candidate).equals(root.publicKey))
      if (key !== undefined) return { certificate: root.der, key }
    }
    return undefined
  }

  /** The root keys on this host: one, two during a rotation, none if the key was removed. Throws STATE_UNUSABLE. */
  rootKeys(): KeyObject[] {
    return [VaultFile.RootKey, VaultFile.FormerRootKey].flatMap(name => {
      const pem = this.#vault.read(name)
      return pem === undefined ? [] : [readKey(this.#vault, name, pem)]
    })
  }

  hasExpired(nowMs: number): boolean {
    return nowMs >= this.#own.node.notAfterMs
  }

  /** Registers a callback for each replacement. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Replaces the node CA certificate and its key, both in one file, so that a crash leaves no key without its certificate. */
  replaceNode(own: NodeCredentials): void {
    this.#vault.write(VaultFile.RenewedNode, keyToPem(own.nodeKey) + encodeChain(own.node.chainDer))
    this.#own = own
    this.#tell()
  }

  /** Replaces the certificate of the authority of this host; its key stays. */
  replaceAuthority(certificate: Uint8Array): void {
    if (this.#authority === undefined) throw new WarrenError(ErrorCode.NotAuthority, 'this host is not an authority')
    this.#vault.write(VaultFile.AuthorityCertificate, encodeChain([certificate]))
    this.#authority = { certificate, key: this.#authority.key }
    this.#tell()
  }

  /** The key for an authority that this host is to become. Throws STATE_UNUSABLE. */
  pendingAuthorityKey(): KeyObject | undefined {
    const pem = this.#vault.read(VaultFile.PendingAuthorityKey)
    return pem === undefined ? undefined : readKey(this.#vault, VaultFile.PendingAuthorityKey, pem)
  }

  /** The same key; made if there is none, and on disk when this returns. */
  makeAuthorityKey(): KeyObject {
    const pending = this.pendingAuthorityKey()
    if (pending !== undefined) return pending
    const key = generateSigningKeyPair()
    this.#vault.write(VaultFile.PendingAuthorityKey, keyToPem(key))
    return key
  }

  /** Makes this host an authority. The key is written last: without it there is no authority, whatever other files exist. */
  becomeAuthority({ certificate, key }: Issuer): void {
    // With an earlier key, the files of two authorities would be mixed.
    this.#vault.remove(VaultFile.AuthorityKey)
    this.#vault.write(VaultFile.AuthorityCertificate, encodeChain([certificate]))
    this.#vault.write(VaultFile.AuthorityKey, keyToPem(key))
    this.#authority = { certificate, key }
    this.#vault.remove(VaultFile.PendingAuthorityKey)
  }

  /** Ends the authority of this host and deletes its keys. */
  resignAuthority(): void {
    this.#vault.remove(VaultFile.AuthorityKey)
    this.#authority = undefined
    this.#vault.remove(VaultFile.AuthorityCertificate)
    this.#vault.remove(VaultFile.PendingAuthorityKey)
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }
}

/**
 * The certificates on disk, verified like those of a stranger, except that they may have expired less than `graceMs` ago, or be
 * below a root of `former`: such a host must be able to start and renew them. Undefined if the host has none. Throws
 * STATE_UNUSABLE.
 */
export function loadCredentials(
  vault: Vault,
  trust: TrustState,
  nowMs: number,
  graceMs: number,
  former: readonly ParsedCertificate[] = []
): Credentials | undefined {
  const own = readNode(vault)
  if (own === undefined) return undefined
  const verdict = verifyRenewable(own.chain, { ...trust, roots: [...trust.roots, ...former] }, nowMs, graceMs)
  if (!verdict.ok) {
    // A damaged file is not a matter of time or trust.
    if (verdict.reason === 'malformed' || verdict.reason === 'wrong-chain-length')
      throw damaged(vault, own.file, `is damaged: ${verdict.detail}`)
    throw new WarrenError(
      ErrorCode.StateUnusable,
      `the certificate of this host in ${vault.path(own.file)} is no longer valid: ${verdict.detail}`,
      {
        hint:
          verdict.reason === 'expired'
            ? 'Check the clock; if it is right, empty the state directory and join again with a new token.'
            : 'Check the clock, or restore the state directory from a backup.'
      }
    )
  }
  const nodeKey = readKey(vault, own.keyFile, own.key)
  if (!createPublicKey(nodeKey).equals(verdict.identity.nodeCertificate.publicKey)) {
    throw damaged(vault, own.keyFile, 'does not hold the key of the certificate of this host')
  }
  return new Credentials(vault, { node: verdict.identity, nodeKey }, readAuthority(vault, own.chain[1]))
}

/** The node chain on disk (DER: node CA, authority, root), and the place of its key; undefined if the host has none. */
export function readNode(vault: Vault) {
  const renewed = vault.read(VaultFile.RenewedNode)
  if (renewed !== undefined) {
    const [pem = ''] =
      /-----BEGIN PRIVATE KEY-----[\s\S]+?-----END PRIVATE KEY-----/.exec(renewed.toString('latin1')) ?? []
    const file = VaultFile.RenewedNode
    return { chain: chainIn(vault, file, renewed), file, keyFile: file, key: Buffer.from(pem) }
  }
  const chain = vault.read(VaultFile.NodeChain)
  if (chain === undefined) return undefined
  const file = VaultFile.NodeChain
  return { chain: chainIn(vault, file, chain), file, keyFile: VaultFile.NodeKey, key: vault.require(VaultFile.NodeKey) }
}

// Before its first renewal, the certificate of a founding authority is only in the chain of its host.
function readAuthority(vault: Vault, founding: Uint8Array | undefined): Issuer | undefined {
  const pem = vault.read(VaultFile.AuthorityKey)
  if (pem === undefined) return undefined
  const file = vault.read(VaultFile.AuthorityCertificate)
  const certificate = file === undefined ? founding : chainIn(vault, VaultFile.AuthorityCertificate, file)[0]
  const key = readKey(vault, VaultFile.AuthorityKey, pem)
  if (certificate === undefined || !createPublicKey(key).equals(parseCertificate(certificate).publicKey)) {
    throw damaged(
      vault,
      file === undefined ? VaultFile.AuthorityKey : VaultFile.AuthorityCertificate,
      `does not belong to ${file === undefined ? 'the certificate of the authority' : VaultFile.AuthorityKey}`
    )
  }
  return { certificate, key }
}

function chainIn(vault: Vault, name: VaultFile, file: Buffer): Uint8Array[] {
  return decodeChain(file, cause => damaged(vault, name, 'is damaged', cause))
}

export function readKey(vault: Vault, name: VaultFile, pem: Buffer = vault.require(name)): KeyObject {
  try {
    return keyFromPem(pem)
  } catch (cause) {
    throw damaged(vault, name, 'is not a key', cause)
  }
}
