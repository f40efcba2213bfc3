import { createPublicKey, type KeyObject } from 'node:crypto'
import type { Trust, TrustService } from '../../cluster/index.ts'
import { type Clock, ErrorCode, type Logger, WarrenError } from '../../core/index.ts'
import {
  BACKDATED_MS,
  generateSigningKeyPair,
  type Issuer,
  issueRoot,
  keyFromPem,
  keyToPem,
  type PeerKey,
  parseCertificate,
  signTrustBundle
} from '../../identity/index.ts'
import type { OwnerView } from '../../registry/index.ts'
import { type Vault, VaultFile } from '../../state/index.ts'
import type { Credentials } from '../membership/index.ts'

export interface RootRotationDeps {
  readonly vault: Vault
  readonly credentials: Credentials
  readonly trust: Trust
  readonly service: Pick<TrustService, 'take'>
  readonly owners: () => readonly OwnerView[]
  /** Hosts that were members when they were last heard of. */
  readonly known: () => readonly { readonly peer: PeerKey; readonly machine: string }[]
  /** For how long a host has a certificate before those that it talks to have all heard of it, in milliseconds. */
  readonly settleMs: number
  readonly clock: Clock
  readonly log: Logger
}

export interface RootView {
  readonly sha256: string
  readonly notAfterMs: number
  /** Whether its key is on this host. */
  readonly isHere: boolean
}

/** A host that would be shut out if the former root were dropped now. */
export interface Laggard {
  readonly machine: string
  readonly reason: string
}

export interface RootStatus {
  readonly version: bigint
  /** Oldest first: two while a rotation is under way. */
  readonly roots: readonly RootView[]
  readonly behind: readonly Laggard[]
}

/**
 * Replaces the root of the trust domain, in two steps: both roots are trusted, then only the new one.
 *
 * The key of the new root is `root.key` and that of the old one `root.former.key` until the end. After a crash at any instant the
 * key of a trusted root is in one of them.
 */
export class RootRotation {
  readonly #deps: RootRotationDeps

  constructor(deps: RootRotationDeps) {
    this.#deps = deps
  }

  status(): RootStatus {
    const { trust } = this.#deps
    const { version, roots } = trust.state
    const keys = this.#keys()
    const views = roots.map(({ sha256, notAfterMs, publicKey }) => ({
      sha256,
      notAfterMs,
      isHere: keys.some(key => createPublicKey(key).equals(publicKey))
    }))
    return { version, roots: views, behind: roots.length > 1 ? this.#behind() : [] }
  }

  /**
   * Makes a new root and has both trusted. Throws NOT_AUTHORITY without the root key, ALREADY_EXISTS while a rotation is under way,
   * STATE_UNUSABLE.
   */
  async begin(): Promise<RootStatus> {
    const { vault, trust, service, clock, log } = this.#deps
    const { trustDomain, version, roots, adminPublicKey } = trust.state
    if (roots.length > 1) {
      throw new WarrenError(ErrorCode.AlreadyExists, 'a rotation of the root is under way', {
        hint: '`warren root status` says where it stands; `warren root rotate --finish` ends it.'
      })
    }
    const old = this.#issuer(0)
    const nowMs = clock.wallMs()
    // An attempt that was interrupted has left it.
    const key = this.#unusedKey(old.key) ?? generateSigningKeyPair()
    vault.write(VaultFile.FormerRootKey, keyToPem(old.key))
    vault.write(VaultFile.RootKey, keyToPem(key))
    const root = { certificate: await issueRoot({ trustDomain, key, nowMs }), key }
    const bundle = {
      trustDomain,
      version: version + 1n,
      roots: [old.certificate, root.certificate],
      adminPublicKey,
      nowMs
    }
    service.take([signTrustBundle(bundle, [old, root])])
    log.warn('rotation of the root has begun', { trustVersion: String(version + 1n) })
    return this.status()
  }

  /**
   * Has only the new root trusted and deletes the key of the old one. Throws NOT_FOUND when no rotation is under way, NOT_READY with the
   * hosts that are not ready for it unless `force`, NOT_AUTHORITY without the keys of both roots.
   */
  finish(force: boolean): RootStatus {
    const { trust, service, clock, log } = this.#deps
    const { trustDomain, version, roots, adminPublicKey } = trust.state
    if (roots.length < 2) {
      throw new WarrenError(ErrorCode.NotFound, 'no rotation of the root is under way', {
        hint: '`warren root rotate` begins one.'
      })
    }
    const behind = this.#behind()
    if (behind.length > 0 && !force) {
      const list = behind.map(({ machine, reason }) => `${machine} (${reason})`).join(', ')
      throw new WarrenError(ErrorCode.NotReady, `not every host is below the new root: ${list}`, {
        hint: 'Wait, start those that are off, evict those that are gone; --force goes on without them.'
      })
    }
    const [old, root] = [this.#issuer(0), this.#issuer(roots.length - 1)]
    const bundle = {
      trustDomain,
      version: version + 1n,
      roots: [root.certificate],
      adminPublicKey,
      nowMs: clock.wallMs()
    }
    service.take([signTrustBundle(bundle, [old, root])])
    this.tidy()
    log.warn('rotation of the root is finished', { trustVersion: String(version + 1n) })
    return this.status()
  }

  /** Deletes the key of a former root once it is trusted no more and the key of its successor is here. */
  tidy(): void {
    const { vault, trust, credentials } = this.#deps
    const former = readKeyIn(vault, VaultFile.FormerRootKey)
    if (former === undefined) return
    const isTrusted = trust.state.roots.some(({ publicKey }) => publicKey.equals(createPublicKey(former)))
    if (!isTrusted && credentials.rootIssuer(trust.state) !== undefined) vault.remove(VaultFile.FormerRootKey)
  }

  #behind(): Laggard[] {
    const { owners, known, trust, settleMs, clock } = this.#deps
    const { version, roots } = trust.state
    const newest = roots.at(-1)?.sha256
    const all = owners()
    const live = all.flatMap(({ machine, trustVersion, nodeChain }): Laggard[] => {
      if (trustVersion < version) return [{ machine, reason: 'has not heard of it' }]
      const [node, , root] = nodeChain
      if (node === undefined || root === undefined || parseCertificate(root).sha256 !== newest) {
        return [{ machine, reason: 'its certificate is still below the old root' }]
      }
      // Others must have heard of it, and its sessions have proved it, before what they knew counts no more.
      const ageMs = clock.wallMs() - (parseCertificate(node).notBeforeMs + BACKDATED_MS)
      return ageMs >= settleMs ? [] : [{ machine, reason: 'it was renewed a moment ago' }]
    })
    const seen = new Set(all.map(({ peer }) => peer))
    const off = known().filter(({ peer }) => !seen.has(peer))
    return [...live, ...off.map(({ machine }) => ({ machine, reason: 'it is off, or was replaced and never evicted' }))]
  }

  #issuer(at: number): Issuer {
    const root = this.#deps.trust.state.roots.at(at)
    const key = this.#keys().find(candidate => root?.publicKey.equals(createPublicKey(candidate)))
    if (root !== undefined && key !== undefined) return { certificate: root.der, key }
    throw new WarrenError(ErrorCode.NotAuthority, 'the root key is not on this host', {
      hint: 'Run the command on the founding host, after `warren root import` if the key was taken off it.'
    })
  }

  #unusedKey(old: KeyObject): KeyObject | undefined {
    const key = readKeyIn(this.#deps.vault, VaultFile.RootKey)
    return key === undefined || createPublicKey(key).equals(createPublicKey(old)) ? undefined : key
  }

  #keys(): KeyObject[] {
    return this.#deps.credentials.rootKeys()
  }
}

function readKeyIn(vault: Vault, name: VaultFile): KeyObject | undefined {
  const pem = vault.read(name)
  return pem === undefined ? undefined : keyFromPem(pem)
}
