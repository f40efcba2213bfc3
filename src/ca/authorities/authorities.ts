import { randomBytes } from 'node:crypto'
import { AUTHORITY_CAPABILITY, type Trust } from '../../cluster/index.ts'
import { type Clock, ErrorCode, type Logger, WarrenError } from '../../core/index.ts'
import {
  type AuthorityIdentity,
  admitAuthority,
  authorityRenewal,
  type Issuer,
  keySha256Of,
  openAuthorityStatus,
  type PeerKey,
  parseCertificate,
  signOrder
} from '../../identity/index.ts'
import type { OwnerView } from '../../registry/index.ts'
import { authorityPb, create } from '../../wire/index.ts'
import type { Lifetimes } from '../lifetimes.ts'
import type { Credentials } from '../membership/index.ts'
import type { IssuedStore } from './issued-store.ts'

export interface AuthoritiesDeps {
  readonly credentials: Credentials
  readonly trust: Trust
  readonly lifetimes: Lifetimes
  readonly issued: IssuedStore
  readonly owners: () => readonly OwnerView[]
  /** Asks a member, or this host itself. Rejects with the mesh's errors, and with the error that the member answers. */
  readonly ask: (
    peer: PeerKey,
    request: authorityPb.AuthorityRequest,
    signal: AbortSignal
  ) => Promise<authorityPb.AuthorityAnswer>
  readonly clock: Clock
  readonly log: Logger
}

/** An authority of the trust domain, as this host sees it. */
export interface AuthorityView {
  readonly machine: string
  readonly state: 'self' | 'alive' | 'suspect'
  /** Expiry of its certificate, wall milliseconds; undefined if unknown. */
  readonly notAfterMs: number | undefined
  readonly hasRootKey: boolean
  /** The reason why the expiry is unknown. */
  readonly problem: string
}

/** Adds and removes authorities with the root key of this host, and lists them by asking each. */
export class Authorities {
  readonly #deps: AuthoritiesDeps

  constructor(deps: AuthoritiesDeps) {
    this.#deps = deps
  }

  /**
   * Makes a member an authority; resolves with the expiry of its certificate, wall milliseconds.
   *
   * Throws NOT_AUTHORITY without the root key, NOT_FOUND, ALREADY_EXISTS, DESTINATION_UNREACHABLE, UNSUPPORTED for a member with
   * an old version, and the error that the member answers.
   */
  async add(machine: string, signal: AbortSignal): Promise<number> {
    const { trust, lifetimes, issued, clock, log } = this.#deps
    const root = this.#rootIssuer()
    const { peer, capabilities } = this.#member(machine)
    if (capabilities.includes(AUTHORITY_CAPABILITY)) {
      throw new WarrenError(ErrorCode.AlreadyExists, `${machine} is already an authority`, {
        hint: '`warren authority list` lists them.'
      })
    }
    const { trustDomain } = trust.state
    const nowMs = clock.wallMs()
    const order = signOrder({ action: 'become', machine, peer }, root, trustDomain, nowMs)
    const offered = await this.#ask(peer, { case: 'order', value: order }, signal)
    if (offered.case !== 'csr') throw malformed(machine)
    const certificate = await admitAuthority(offered.value, {
      trustDomain,
      root,
      lifetimeMs: lifetimes.authorityMs,
      nowMs
    })
    const parsed = parseCertificate(certificate)
    // Stored before the order is sent: a later eviction must know the key.
    issued.note(machine, peer, keySha256Of(parsed))
    const granted = create(authorityPb.AuthorityGrantSchema, { certificate })
    const done = await this.#ask(peer, { case: 'grant', value: granted }, signal)
    if (done.case !== 'done') throw malformed(machine)
    log.info('authority added', { machine, peer, notAfter: new Date(parsed.notAfterMs).toISOString() })
    return parsed.notAfterMs
  }

  /**
   * Orders a host to delete its authority key. The hosts that it admitted stay members, and renew at another authority.
   *
   * Throws like `add`; also NOT_FOUND for a host that is not an authority, INVALID_ARGUMENT for the last one.
   */
  async remove(machine: string, signal: AbortSignal): Promise<void> {
    const { trust, issued, owners, clock, log } = this.#deps
    const root = this.#rootIssuer()
    const { peer, capabilities } = this.#member(machine)
    if (!capabilities.includes(AUTHORITY_CAPABILITY)) {
      throw new WarrenError(ErrorCode.NotFound, `${machine} is not an authority`, {
        hint: '`warren authority list` lists them.'
      })
    }
    const isLast = !owners().some(
      other => other.machine !== machine && !other.suspect && other.capabilities.includes(AUTHORITY_CAPABILITY)
    )
    if (isLast) {
      throw new WarrenError(ErrorCode.InvalidArgument, `${machine} is the only authority that answers`, {
        hint: 'Make another one first: `warren authority add MACHINE`.'
      })
    }
    const order = signOrder({ action: 'resign', machine, peer }, root, trust.state.trustDomain, clock.wallMs())
    const done = await this.#ask(peer, { case: 'order', value: order }, signal)
    if (done.case !== 'done') throw malformed(machine)
    // Its key is deleted: a later eviction of the host must not evict the hosts that it admitted.
    issued.forget(machine)
    log.info('authority removed', { machine, peer })
  }

  /** The hosts that claim to be authorities, this host first; each is asked. */
  async list(signal: AbortSignal): Promise<AuthorityView[]> {
    const all = this.#deps.owners().filter(({ capabilities }) => capabilities.includes(AUTHORITY_CAPABILITY))
    const views = all.map(async ({ machine, peer, self, suspect }): Promise<AuthorityView> => {
      const state = self ? 'self' : suspect ? 'suspect' : 'alive'
      try {
        const { identity, hasRootKey } = await this.#status(peer, signal)
        return { machine, state, notAfterMs: identity?.notAfterMs, hasRootKey, problem: '' }
      } catch (err) {
        signal.throwIfAborted()
        return { machine, state, notAfterMs: undefined, hasRootKey: false, problem: WarrenError.from(err).reason }
      }
    })
    const rank = ({ state }: AuthorityView): number => (state === 'self' ? 0 : 1)
    return (await Promise.all(views)).sort((a, b) => rank(a) - rank(b) || (a.machine < b.machine ? -1 : 1))
  }

  /** Hex hashes of the authority keys that a machine has, as far as this host knows them or the machine proves them now. */
  async keysOf(machine: string, signal: AbortSignal): Promise<string[]> {
    const { issued, owners, credentials } = this.#deps
    const keys = new Set(issued.keysOf(machine))
    const known = owners().find(owner => owner.machine === machine && owner.capabilities.includes(AUTHORITY_CAPABILITY))
    if (known !== undefined && !known.suspect) {
      const proven = await this.#status(known.peer, signal).catch(() => undefined)
      if (proven?.identity !== undefined) keys.add(proven.identity.keySha256)
    }
    const own = credentials.authority
    if (own !== undefined) keys.delete(keySha256Of(parseCertificate(own.certificate)))
    return [...keys]
  }

  /** Asks a member that may hold the root key for a new certificate of `authority`, which is this host's. */
  async renewAt(peer: PeerKey, authority: Issuer, signal: AbortSignal): Promise<Uint8Array> {
    const { credentials } = this.#deps
    const renewal = await authorityRenewal(credentials.node.machine, authority)
    const answer = await this.#ask(peer, { case: 'renewal', value: renewal }, signal)
    if (answer.case !== 'certificate') throw malformed(peer)
    return answer.value
  }

  async #status(
    peer: PeerKey,
    signal: AbortSignal
  ): Promise<{ readonly identity: AuthorityIdentity | undefined; readonly hasRootKey: boolean }> {
    const { trust, clock } = this.#deps
    const nonce = randomBytes(32)
    const request = create(authorityPb.AuthorityStatusRequestSchema, { nonce })
    const answer = await this.#ask(peer, { case: 'status', value: request }, signal)
    if (answer.case !== 'status') throw malformed(peer)
    const identity = openAuthorityStatus(answer.value, peer, nonce, trust.state, clock.wallMs())
    return { identity, hasRootKey: answer.value.rootKey }
  }

  async #ask(
    peer: PeerKey,
    ask: authorityPb.AuthorityRequest['ask'],
    signal: AbortSignal
  ): Promise<authorityPb.AuthorityAnswer['result']> {
    const request = create(authorityPb.AuthorityRequestSchema, { ask })
    try {
      return (await this.#deps.ask(peer, request, signal)).result
    } catch (err) {
      if (!WarrenError.is(err, ErrorCode.Unsupported)) throw err
      throw new WarrenError(ErrorCode.Unsupported, 'the warren of that host is too old', { cause: err })
    }
  }

  #rootIssuer(): Issuer {
    const { credentials, trust } = this.#deps
    const root = credentials.rootIssuer(trust.state)
    if (root !== undefined) return root
    throw new WarrenError(ErrorCode.NotAuthority, 'the root key is not on this host', {
      hint: 'Run the command on the founding host, after `warren root import` if the key was taken off it.'
    })
  }

  #member(machine: string): OwnerView {
    const member = this.#deps.owners().find(owner => owner.machine === machine)
    if (member === undefined) {
      throw new WarrenError(ErrorCode.NotFound, `no host named ${machine} is a member now`, {
        hint: '`warren members` lists them.'
      })
    }
    if (!member.suspect) return member
    throw new WarrenError(ErrorCode.DestinationUnreachable, `${machine} does not answer`, {
      hint: '`warren members` shows since when.'
    })
  }
}

function malformed(who: string): WarrenError {
  return new WarrenError(ErrorCode.MessageMalformed, `${who} sent an answer that does not fit the request`)
}
