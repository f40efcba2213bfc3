import type { KeyObject } from 'node:crypto'
import { asOwn, type Clock, ErrorCode, type Logger, type Metrics, WarrenError } from '../../core/index.ts'
import { CONTEXT, type Context, rawKeyOf, sign } from '../../identity/index.ts'
import {
  type Admin,
  type AdminKey,
  type Bundle,
  type Content,
  draftBundle,
  type Editor,
  type InForce,
  openSet,
  requireAdmin,
  requireInvariants,
  requireKept,
  requireWithin,
  roleOf,
  SetReplica,
  sealBundle
} from '../../policy/index.ts'
import { type LeaseParts, PolicyLease } from '../lease/index.ts'
import type { PolicyTransport } from '../policy-transport.ts'
import { announceSet } from './messages.ts'
import { reasonOf, SetExchange } from './set-exchange.ts'
import { type KeyElsewhere, Signing } from './signing.ts'
import { type AdminStore, publicTextOf } from './store.ts'

export interface AdminSetsDeps {
  readonly trustDomain: string
  readonly rootKey: AdminKey
  /** Whether this host holds the key of the root: then it signs the bundle, and no set. */
  readonly isRoot: boolean
  readonly store: AdminStore
  readonly transport: PolicyTransport
  /** Called when another policy is in force by the sets of admins. */
  readonly onChange: (reason: string) => void
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** The bound after which this host serves nothing unless the policy is confirmed. @default none, and nothing is confirmed */
  readonly lease?: LeaseParts
}

const NO_SIGNATURE = new Uint8Array(64)

/** Holds the sets of all admins, and signs that of the admin of this host. */
export class AdminSets {
  readonly #deps: AdminSetsDeps
  readonly #replica: SetReplica
  /** What passes between this host and others. */
  readonly exchange: SetExchange
  readonly lease: PolicyLease
  /** What callers sign, where the key of the admin is not on this host. */
  readonly signing = new Signing()
  #key: KeyObject | undefined
  #elsewhere: KeyElsewhere | undefined

  constructor(deps: AdminSetsDeps) {
    this.#deps = deps
    this.#replica = new SetReplica(deps.rootKey)
    this.exchange = new SetExchange({
      ...deps,
      replica: this.#replica,
      put: (key, set) => this.#put(key, set)
    })
    this.lease = new PolicyLease({
      ...deps,
      ...deps.lease,
      inForce: () => this.inForce,
      rootSha256: () => this.#replica.newestOf(deps.rootKey)?.sha256,
      own: () => this.#signer
    })
  }

  /** Loads what is stored, with the bundle of the root. Throws STATE_UNUSABLE. */
  start(root: Bundle | undefined): void {
    const { store } = this.#deps
    this.#setKey(store.key())
    this.#replica.setRoot(root)
    this.#replica.restore(store.load())
    this.lease.start()
  }

  stop(): void {
    this.exchange.stop()
    this.lease.stop()
  }

  get inForce(): InForce {
    return this.#replica.inForce
  }

  /** Stands for all sets that count here; equal on hosts where the same count. */
  get digest(): string {
    return this.inForce.digest
  }

  /** The key that this host signs by; undefined if it has none. */
  get ownKey(): AdminKey | undefined {
    if (this.#deps.isRoot) return this.#deps.rootKey
    return this.#key === undefined ? this.#elsewhere?.key : publicTextOf(this.#key)
  }

  /** Where the private half of `ownKey` is, if it is not on this host. */
  get elsewhere(): KeyElsewhere | undefined {
    return this.#deps.isRoot ? undefined : this.#elsewhere
  }

  get rootKey(): AdminKey {
    return this.#deps.rootKey
  }

  /** A signature by `ownKey` where that is not the key of the root. Not at once if a caller makes it. Throws as `Signing.sign`. */
  sign(context: Context, content: Uint8Array, former?: Uint8Array): Uint8Array | Promise<Uint8Array> {
    if (this.#key !== undefined) return sign(this.#key, context, content)
    if (this.#elsewhere !== undefined) return this.signing.sign(this.#elsewhere, { context, content, former })
    throw new WarrenError(ErrorCode.Internal, 'the key of the admin is missing')
  }

  /** Whether what this host signs has an effect. */
  get isAdmin(): boolean {
    const own = this.#admin
    return own !== undefined && own.role !== 'observer' && own.removal === undefined
  }

  /** The name by which all hosts show the admin of this host; empty if it has no rights. */
  get ownName(): string {
    return this.isAdmin ? (this.#admin?.name ?? '') : ''
  }

  get #admin(): Admin | undefined {
    const { ownKey } = this
    return ownKey === undefined ? undefined : this.inForce.admins.find(({ key }) => key === ownKey)
  }

  get #signer(): { readonly key: AdminKey; readonly signer: KeyObject } | undefined {
    const { isRoot, lease } = this.#deps
    const [key, signer] = [this.ownKey, isRoot ? lease?.rootSigner : this.#key]
    return key !== undefined && signer !== undefined && this.isAdmin ? { key, signer } : undefined
  }

  /** The newest set of the admin of this host. */
  get own(): Bundle | undefined {
    return this.ownKey === undefined ? undefined : this.#replica.newestOf(this.ownKey)
  }

  /** Of the set of the admin of this host; zero: it has stated nothing, or is the root. */
  get ownSetVersion(): bigint {
    return this.isAdmin && !this.#deps.isRoot ? (this.own?.version ?? 0n) : 0n
  }

  /** What a draft of this author begins with. */
  statedBy(author?: AdminKey): Bundle | undefined {
    return this.#replica.newestOf(this.#authorOf(author))
  }

  // The root stands for those who state nothing.
  #authorOf(author: AdminKey | undefined = this.ownKey): AdminKey {
    const role = author === undefined ? undefined : roleOf(this.inForce, author)
    return author === undefined || role === undefined || role === 'observer' ? this.#deps.rootKey : author
  }

  /** What the functions that change a set work on. Throws NOT_ADMIN. */
  editor(): Editor {
    const { key } = requireAdmin(this.inForce, this.ownKey)
    return { key, own: this.own, nowMs: this.#deps.clock.wallMs() }
  }

  /** The id by which all hosts show a statement of the admin of this host. */
  shownId(id: string): string {
    const own = this.#admin
    return own === undefined || own.key === this.#deps.rootKey ? id : `${own.name}/${id}`
  }

  /** The public key of the admin of this host, which is made if there is none, or anew. */
  makeKey(renew: boolean): AdminKey {
    const { isRoot, rootKey, store } = this.#deps
    if (isRoot) return rootKey
    const own = this.ownKey
    if (own !== undefined && !renew) return own
    this.#requireReplaceable()
    const key = store.makeKey()
    this.#setKey(key)
    return publicTextOf(key)
  }

  /** From now on the admin of this host signs by a key that is not here. Throws INVALID_ARGUMENT. */
  useKey(elsewhere: KeyElsewhere): void {
    const { isRoot, store } = this.#deps
    if (isRoot) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'this host has the key of the founder, which stays here', {
        hint: 'Run it on another host, make that key one of an owner, and remove the founder: see docs/admins.md.'
      })
    }
    if (elsewhere.key !== this.ownKey) this.#requireReplaceable()
    store.useKey(elsewhere)
    this.#setKey(elsewhere)
  }

  #requireReplaceable(): void {
    if (!this.isAdmin) return
    throw new WarrenError(ErrorCode.InvalidArgument, `the key of this host is that of ${this.ownName}`, {
      hint: `What it has stated could not be changed here any more. Another owner removes it first: warren admin remove ${this.ownName}`
    })
  }

  #setKey(key: KeyObject | KeyElsewhere | undefined): void {
    const isElsewhere = key !== undefined && 'uri' in key
    this.#key = isElsewhere ? undefined : key
    this.#elsewhere = isElsewhere ? key : undefined
  }

  /** The bundle of the root is another one: it may give or end the rights of others. */
  setRoot(root: Bundle): void {
    const before = this.#replica.held().length
    const admins = this.exchange.adminKeys()
    this.#replica.setRoot(root)
    this.exchange.askForNew(admins)
    // A version that a removal names is kept beside the newest.
    if (before === this.#replica.held().length) return
    try {
      this.#deps.store.save(this.#replica.held())
    } catch (err) {
      // The bundle itself is on disk, and takes effect now.
      this.#deps.log.error('sets of admins not stored', { err })
    }
  }

  /**
   * The policy if `content` were signed by `author`, or by the root if that is nobody who states something. It is unsigned: for
   * questions. `author`: by default the admin of this host.
   *
   * Throws INVARIANT_BROKEN or LIMIT_EXCEEDED.
   */
  draft(content: Partial<Content>, author?: AdminKey): Bundle {
    const { trustDomain, clock, rootKey } = this.#deps
    const key = this.#authorOf(author)
    const next = { ...content, trustDomain, nowMs: clock.wallMs() }
    const draft = asOwn(() => draftBundle(this.#replica.newestOf(key), next, key === rootKey ? 'root' : 'admin'))
    if (key === rootKey) requireInvariants(draft, draft.issuedAtMs)
    const inForce = this.#replica.preview(key, draft)
    requireKept(inForce, key, draft.issuedAtMs)
    return inForce.bundle ?? draft
  }

  /** Signs the next version of the set of this host, and spreads it. Throws as `draft` does. */
  async issue(content: Partial<Content>): Promise<void> {
    const { trustDomain, clock, transport, onChange } = this.#deps
    const admin = requireAdmin(this.inForce, this.ownKey)
    const { own } = this
    requireWithin(admin, own, content)
    this.draft(content)
    const next = { ...content, trustDomain, nowMs: clock.wallMs() }
    let unsigned = new Uint8Array()
    const noted = (bytes: Uint8Array): Uint8Array => {
      unsigned = Uint8Array.from(bytes)
      return NO_SIGNATURE
    }
    sealBundle(own, next, noted, 'admin')
    const made = this.sign(CONTEXT.policySet, unsigned, own?.signed)
    const signature = made instanceof Promise ? await made : made
    // A key of this host has signed in the same turn; while a person is asked, other changes may come.
    if (made instanceof Promise) this.#requireSame(own, content)
    const signed = sealBundle(own, next, () => signature, 'admin')
    // Read like on the other hosts before it leaves this function.
    const set = asOwn(() => openSet(signed, rawKeyOf(admin.key), trustDomain))
    this.#put(admin.key, set)
    onChange(reasonOf(set, admin))
    await transport.publish(announceSet(admin.key, set))
  }

  #requireSame(own: Bundle | undefined, content: Partial<Content>): void {
    if (this.own !== own) {
      throw new WarrenError(ErrorCode.NotReady, 'the set of this admin has changed while it was signed', {
        hint: 'Repeat the command.'
      })
    }
    requireWithin(requireAdmin(this.inForce, this.ownKey), own, content)
    this.draft(content)
  }

  // On disk first: a restart may never roll back what was in force.
  #put(key: AdminKey, set: Bundle): void {
    const { version, sha256 } = set
    this.#deps.store.save([...this.#replica.held(), { key, version, sha256, set }])
    this.#replica.put(key, set)
  }
}
