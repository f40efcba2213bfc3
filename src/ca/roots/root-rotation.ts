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
  /** Hosts that were members when they were last seen. */
  readonly known: () => readonly { readonly peer: PeerKey; readonly machine: string }[]
  /** How long a host must have its certificate before all its peers have received it, in milliseconds. */
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

/** A host that would be excluded if the former root were removed now. */
export interface Laggard {
  readonly machine: string
  readonly reason: string
}

export interface RootStatus {
  readonly version: bigint
  /** Oldest first; two during a rotation. */
  readonly roots: readonly RootView[]
  readonly behind: readonly Laggard[]
}

/**
 * Replaces the root of the trust domain, in two steps: both roots are trusted, then only the new one.
 *
 * Until the end, the key of the new root is `root.key` and that of the old one `root.former.key`. After a crash at any time, the
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
   * Makes a new root and publishes a trust bundle with both. Throws NOT_AUTHORITY without the root key, ALREADY_EXISTS during a
   * rotation, STATE_UNUSABLE.
   */
  async begin(): Promise<RootStatus> {
    const { vault, trust, service, clock, log } = this.#deps
    const { trustDomain, version, roots, adminPublicKey } = trust.state
    if (roots.length > 1) {
      throw new WarrenError(ErrorCode.AlreadyExists, 'a rotation of the root is in progress', {
        hint: '`warren root status` shows its progress; `warren root rotate --finish` ends it.'
      })
    }
    const old = this.#issuer(0)
    const nowMs = clock.wallMs()
    // An interrupted attempt may have left it.
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
   * Publishes a trust bundle with the new root only, and deletes the key of the old one. Throws NOT_FOUND without a rotation,
   * NOT_READY with the hosts that are not ready for it unless `force`, NOT_AUTHORITY without the keys of both roots.
   */
  finish(force: boolean): RootStatus {
    const { trust, service, clock, log } = this.#deps
    const { trustDomain, version, roots, adminPublicKey } = trust.state
    if (roots.length < 2) {
      throw new WarrenError(ErrorCode.NotFound, 'no rotation of the root is in progress', {
        hint: '`warren root rotate` begins one.'
      })
    }
    const behind = this.#behind()
    if (behind.length > 0 && !force) {
      const list = behind.map(({ machine, reason }) => `${machine} (${reason})`).join(', ')
      throw new WarrenError(ErrorCode.NotReady, `not every host is below the new root: ${list}`, {
        hint: 'Wait, start hosts that are off, evict hosts that are gone; --force continues without them.'
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

  /** Deletes the key of a former root once that root is no longer trusted and the key of its successor is here. */
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
      if (trustVersion < version) return [{ machine, reason: 'has not received it' }]
      const [node, , root] = nodeChain
      if (node === undefined || root === undefined || parseCertificate(root).sha256 !== newest) {
        return [{ machine, reason: 'its certificate is still below the old root' }]
      }
      // Others must have received it, and its sessions must have proved it, before the old certificate becomes invalid.
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
