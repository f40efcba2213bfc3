import type { Trust } from '../../cluster/index.ts'
import { type Clock, ErrorCode, type Logger, TokenBuckets, WarrenError } from '../../core/index.ts'
import {
  admitAuthorityRenewal,
  authorityRequest,
  authorityStatusOf,
  keySha256Of,
  openOrder,
  type PeerKey,
  parseCertificate,
  requireAuthority,
  verifyAuthority
} from '../../identity/index.ts'
import { authorityPb, create } from '../../wire/index.ts'
import type { Lifetimes } from '../lifetimes.ts'
import type { Credentials } from '../membership/index.ts'
import type { IssuedStore } from './issued-store.ts'

export interface AuthorityServiceDeps {
  readonly self: PeerKey
  readonly credentials: Credentials
  readonly trust: Trust
  readonly lifetimes: Lifetimes
  readonly issued: IssuedStore
  /** Publishes the new role of this host. */
  readonly announce: () => void
  readonly clock: Clock
  readonly log: Logger
}

/** Invalid orders and renewals from one host: each costs signature checks and a line of log. */
export const AUTHORITY_REFUSALS = { burst: 10, perSecond: 1 / 10, maxKeys: 4_096 }
/** Certificates for one host: an authority asks once in half of the life of its certificate. */
export const AUTHORITY_RENEWALS = { burst: 10, perSecond: 1 / 10, maxKeys: 4_096 }

/** Answers members about the authority of this host: orders of a root, its status, and renewals if the root key is here. */
export class AuthorityService {
  readonly #deps: AuthorityServiceDeps
  readonly #refusals = new TokenBuckets<PeerKey>(AUTHORITY_REFUSALS)
  readonly #renewals = new TokenBuckets<PeerKey>(AUTHORITY_RENEWALS)

  constructor(deps: AuthorityServiceDeps) {
    this.#deps = deps
  }

  /**
   * Throws ALREADY_EXISTS for an order to become an authority that this host is already, NOT_AUTHORITY for a renewal without the
   * root key, LIMIT_EXCEEDED after too many recent refusals, MESSAGE_MALFORMED, and like `openOrder`, `requireAuthority` and
   * `admitAuthorityRenewal` of identity.
   */
  async answer(peer: PeerKey, { ask }: authorityPb.AuthorityRequest): Promise<authorityPb.AuthorityAnswer> {
    const { credentials, trust, clock, log } = this.#deps
    const now = clock.monotonicMs()
    if (this.#refusals.left(peer, now) < 1) {
      throw new WarrenError(ErrorCode.LimitExceeded, 'too many refused requests', {
        hint: 'Wait a minute.',
        limit: 'authority_refusals'
      })
    }
    try {
      switch (ask.case) {
        case 'order':
          return await this.#order(peer, ask.value)
        case 'grant':
          return this.#take(ask.value)
        case 'renewal':
          return answerOf({ case: 'certificate', value: await this.#renew(peer, ask.value) })
        case 'status': {
          const hasRootKey = credentials.rootIssuer(trust.state) !== undefined
          const status = authorityStatusOf(credentials.authority, hasRootKey, this.#deps.self, ask.value)
          return answerOf({ case: 'status', value: status })
        }
        default:
          throw new WarrenError(ErrorCode.MessageMalformed, 'this host does not know the request')
      }
    } catch (err) {
      // A missing root key on this host is not the fault of the caller.
      if (!WarrenError.is(err, ErrorCode.NotAuthority)) this.#refusals.use(peer, 1, now)
      log.warn('request about authorities refused', { peer, err })
      throw err
    }
  }

  async #order(peer: PeerKey, signed: authorityPb.SignedOrder): Promise<authorityPb.AuthorityAnswer> {
    const { self, credentials, trust, announce, clock, log } = this.#deps
    const { machine } = credentials.node
    const { action } = openOrder(signed, { machine, peer: self }, trust.state, clock.wallMs())
    const { authority } = credentials
    if (action === 'resign') {
      if (authority !== undefined) {
        credentials.resignAuthority()
        log.warn('this host is no longer an authority: a root ordered it', { machine, peer })
        announce()
      }
      return answerOf({ case: 'done', value: create(authorityPb.DoneSchema) })
    }
    // An authority that is no longer valid is replaced: its root is gone, or it has expired.
    if (authority !== undefined && verifyAuthority(authority.certificate, trust.state, clock.wallMs()).ok) {
      throw new WarrenError(ErrorCode.AlreadyExists, `${machine} is already an authority`)
    }
    return answerOf({ case: 'csr', value: await authorityRequest(machine, credentials.makeAuthorityKey()) })
  }

  #take({ certificate }: authorityPb.AuthorityGrant): authorityPb.AuthorityAnswer {
    const { credentials, trust, announce, clock, log } = this.#deps
    const key = credentials.pendingAuthorityKey()
    if (key === undefined) throw new WarrenError(ErrorCode.CertificateRefused, 'this host was not asked to become one')
    const { notAfterMs } = requireAuthority(certificate, key, trust.state, clock.wallMs())
    credentials.becomeAuthority({ certificate, key })
    log.info('this host is an authority', {
      machine: credentials.node.machine,
      notAfter: new Date(notAfterMs).toISOString()
    })
    announce()
    return answerOf({ case: 'done', value: create(authorityPb.DoneSchema) })
  }

  async #renew(peer: PeerKey, renewal: authorityPb.AuthorityRenewal): Promise<Uint8Array> {
    const { credentials, trust, lifetimes, issued, clock, log } = this.#deps
    const root = credentials.rootIssuer(trust.state)
    if (root === undefined) throw new WarrenError(ErrorCode.NotAuthority, 'the root key is not on this host')
    const now = clock.monotonicMs()
    const machine = trust.machineOf(peer)
    if (machine === undefined || trust.revokedPeer(peer) !== undefined) {
      throw new WarrenError(ErrorCode.CertificateRefused, 'the requesting host is not a valid member')
    }
    if (this.#renewals.left(peer, now) < 1) {
      throw new WarrenError(ErrorCode.LimitExceeded, `${machine} was renewed too often recently`, {
        limit: 'authority_renewals'
      })
    }
    const { authorityMs: lifetimeMs, graceMs } = lifetimes
    const nowMs = clock.wallMs()
    const deps = { trust: trust.state, root, lifetimeMs, graceMs, nowMs }
    const certificate = await admitAuthorityRenewal(renewal, deps)
    this.#renewals.use(peer, 1, now)
    const parsed = parseCertificate(certificate)
    // Stored before the certificate is sent: a later eviction must know the key.
    issued.note(machine, peer, keySha256Of(parsed))
    log.info('certificate of an authority renewed', {
      machine,
      peer,
      notAfter: new Date(parsed.notAfterMs).toISOString()
    })
    return certificate
  }
}

function answerOf(result: authorityPb.AuthorityAnswer['result']): authorityPb.AuthorityAnswer {
  return create(authorityPb.AuthorityAnswerSchema, { result })
}
