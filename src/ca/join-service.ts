import { createHash, createPublicKey, randomBytes } from 'node:crypto'
import {
  type Clock,
  ErrorCode,
  type Logger,
  type Metrics,
  networkOf,
  TokenBuckets,
  WarrenError
} from '../core/index.ts'
import type { EventSink } from '../events/index.ts'
import {
  admitJoin,
  encodeJoinToken,
  generateSigningKeyPair,
  isComponent,
  issueAgent,
  isTokenKnown,
  type JoinAuthority,
  LIFETIME_MS,
  type NodeIdentity,
  type PeerKey,
  parseJoinToken,
  RESERVED_SCOPE,
  type Revocation,
  rootOfAuthority,
  type StoredToken,
  toPem
} from '../identity/index.ts'
import type { Store } from '../state/index.ts'
import type { identityPb } from '../wire/index.ts'
import type { Membership } from './membership/index.ts'
import type { Svid } from './svids.ts'

export interface JoinServiceDeps {
  readonly membership: Membership
  readonly store: Store
  /** host:port of the data listener, as others reach it. */
  readonly dataAddresses: () => readonly string[]
  readonly meshAddresses: () => readonly string[]
  /** The member of this name, if there is one now. */
  readonly peerOf: (machine: string) => PeerKey | undefined
  /** The revocations in force. */
  readonly revocations: () => readonly Revocation[]
  /** Lifetime of the certificates of admitted hosts, in milliseconds. */
  readonly lifetimeMs: number
  readonly clock: Clock
  readonly log: Logger
  /** @default no notification */
  readonly metrics?: Metrics
  /** @default no notification */
  readonly events?: EventSink
}

const DEFAULT_TTL_MS = 3_600_000
const MAX_TTL_MS = 7 * 24 * 3_600_000
const MAX_SCOPES = 64
// Expired tokens are kept for a while, so that a late joiner receives "expired" and not "unknown".
const FORGET_AFTER_MS = 7 * 24 * 3_600_000
/** The most tokens that one authority keeps. */
export const MAX_TOKENS = 10_000
// A person makes a few typing errors; a program that repeats them costs a signature check and a line of log each time.
export const REFUSALS = { burst: 10, perSecond: 1 / 10, maxKeys: 4_096 }

/** The certificate of the agent, and that of the host which signed it. */
interface AgentCertificate {
  readonly svid: Svid
  readonly leaf: Uint8Array
  readonly node: NodeIdentity
}

/** Admits hosts: makes join tokens, serves joins, and holds the certificate that this agent shows to joiners. */
export class JoinService {
  readonly #deps: JoinServiceDeps
  readonly #refusals = new TokenBuckets<string>(REFUSALS)
  #agent: AgentCertificate | undefined

  constructor(deps: JoinServiceDeps) {
    this.#deps = deps
  }

  /** Makes the certificate of the agent: a new one after half of its life, and when the CA of the host was renewed. */
  async renew(): Promise<void> {
    const { membership, clock } = this.#deps
    const { trustDomain, machine, credentials } = membership
    const now = clock.wallMs()
    const { signer, chainDer: issuers } = credentials.issuers
    const current = this.#agent
    const life = current?.svid
    // One of a later time was made while the clock was ahead.
    const isYoung = life !== undefined && now >= life.notBeforeMs && now < (life.notBeforeMs + life.notAfterMs) / 2
    const { node } = credentials
    if (isYoung && current?.node === node) return
    const key = generateSigningKeyPair()
    const leaf = await issueAgent({ node: signer, trustDomain, machine, publicKey: createPublicKey(key), nowMs: now })
    const chainDer = [leaf, ...issuers]
    const certPem = chainDer.map(toPem).join('')
    const notAfterMs = Math.min(now + LIFETIME_MS.agent, node.notAfterMs)
    this.#agent = { leaf, node, svid: { chainDer, certPem, key, notBeforeMs: now, notAfterMs } }
  }

  /** The certificate chain that is shown to joiners. */
  credentials(): Svid {
    return this.#current().svid
  }

  /**
   * A token that admits one host of this name, once. Throws NOT_AUTHORITY, ALREADY_EXISTS (a member has the name) or
   * INVALID_ARGUMENT; LIMIT_EXCEEDED when there are too many tokens already.
   */
  createToken(request: { readonly machine: string; readonly ttlMs: number; readonly scopes: readonly string[] }): {
    token: string
    id: string
    expiresAtMs: number
  } {
    const { membership, store, dataAddresses, peerOf, clock, log } = this.#deps
    const { machine, scopes } = request
    const { authority } = membership.credentials
    if (authority === undefined || rootOfAuthority(authority.certificate, membership.trust.state) === undefined) {
      throw notAuthority()
    }
    if (peerOf(machine) !== undefined || machine === membership.machine) {
      throw new WarrenError(ErrorCode.AlreadyExists, `a host named ${machine} is already a member`, {
        hint: '`warren members` lists the names in use.'
      })
    }
    if (scopes.length > MAX_SCOPES || !scopes.every(isComponent) || scopes.includes(RESERVED_SCOPE)) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'a scope is one component of an address, and not "warren"')
    }
    if (request.ttlMs > MAX_TTL_MS) {
      throw new WarrenError(ErrorCode.InvalidArgument, 'a join token is valid for seven days at most')
    }
    const now = clock.wallMs()
    store.forgetTokens(now - FORGET_AFTER_MS)
    if (store.tokens().length >= MAX_TOKENS) {
      throw new WarrenError(ErrorCode.LimitExceeded, `this host already keeps ${MAX_TOKENS} join tokens`, {
        limit: 'join_tokens',
        hint: 'Tokens are removed a week after they expire; with a shorter --ttl they expire sooner.'
      })
    }
    const expiresAtMs = now + (request.ttlMs === 0 ? DEFAULT_TTL_MS : request.ttlMs)
    const secret = randomBytes(32)
    const id = randomBytes(16).toString('hex')
    const secretSha256 = createHash('sha256').update(secret).digest('hex')
    const token = encodeJoinToken({
      trustDomain: membership.trustDomain,
      rootSha256: membership.trust.state.roots.at(-1)?.sha256 ?? '',
      authorityAddresses: [...dataAddresses()],
      authorityMachine: membership.machine,
      machine,
      id,
      secret,
      expiresAtMs,
      scopes
    })
    requireUsable(token, now)
    store.addToken({
      id,
      secretSha256,
      machine,
      scopes,
      createdAtMs: now,
      expiresAtMs,
      usedAtMs: undefined,
      usedBy: undefined,
      revokedAtMs: undefined
    })
    log.info('join token created', { machine, notAfter: new Date(expiresAtMs).toISOString() })
    this.#deps.events?.emit('token-created', { tokenId: id, machine, notAfterMs: expiresAtMs })
    return { token, id, expiresAtMs }
  }

  /** The tokens of this authority, newest first. */
  tokens(): StoredToken[] {
    return this.#deps.store.tokens()
  }

  /** Revokes the only token whose id begins so. Throws NOT_FOUND, or INVALID_ARGUMENT if it is used or ambiguous. */
  revokeToken(idPrefix: string): StoredToken {
    const { store, clock, log } = this.#deps
    const [token, another] = this.tokens().filter(({ id }) => idPrefix !== '' && id.startsWith(idPrefix))
    const shown = idPrefix.slice(0, 32)
    if (token === undefined) {
      throw new WarrenError(ErrorCode.NotFound, `this host made no token "${shown}"`, {
        hint: '`warren token list` lists them by id.'
      })
    }
    if (another !== undefined) {
      throw new WarrenError(ErrorCode.InvalidArgument, `several tokens begin with "${shown}"`)
    }
    if (token.usedAtMs !== undefined) {
      throw new WarrenError(ErrorCode.InvalidArgument, `${token.machine} has joined with this token already`, {
        hint: `\`warren evict ${token.machine}\` removes it.`
      })
    }
    if (store.revokeToken(token.id, clock.wallMs())) {
      log.info('join token revoked', { machine: token.machine })
      this.#deps.events?.emit('token-revoked', { tokenId: token.id, machine: token.machine })
    }
    return store.find(token.id) ?? token
  }

  /** Revokes all open tokens for a machine; returns how many. */
  revokeTokensOf(machine: string): number {
    const open = this.tokens().filter(token => token.machine === machine && token.usedAtMs === undefined)
    const revoked = open.filter(({ id }) => this.#deps.store.revokeToken(id, this.#deps.clock.wallMs()))
    for (const { id } of revoked) this.#deps.events?.emit('token-revoked', { tokenId: id, machine })
    return revoked.length
  }

  /** DER: the chain that TLS shows to joiners and to expired hosts. */
  agentChain(): readonly Uint8Array[] {
    const { leaf, node } = this.#current()
    return [leaf, ...node.chainDer]
  }

  /** How joins from one remote address are served here. `requireRoom` throws if too many are served already. */
  asAuthority(remote: string, requireRoom: () => void): JoinAuthority {
    const { membership, store, meshAddresses, peerOf, revocations, lifetimeMs, clock, log } = this.#deps
    const { trustDomain, trust, credentials } = membership
    return {
      trustDomain,
      log,
      agentChain: () => this.agentChain(),
      succession: () => trust.succession,
      admit: async request => {
        requireRoom()
        const { authority } = credentials
        const root = authority === undefined ? undefined : rootOfAuthority(authority.certificate, trust.state)
        if (authority === undefined || root === undefined) throw notAuthority()
        const nowMs = () => clock.wallMs()
        const certificate = await this.#limited(remote, request, () =>
          admitJoin(request, { trustDomain, tokens: store, authority, peerOf, revocations, nowMs, lifetimeMs })
        )
        // That of the token, or it would not have been admitted.
        const machine = store.find(Buffer.from(request.tokenId).toString('hex'))?.machine ?? ''
        this.#deps.events?.emit('host-admitted', { machine, remote })
        return {
          nodeChain: [certificate, authority.certificate, root.der],
          trustBundle: trust.signed,
          meshAddresses: meshAddresses()
        }
      }
    }
  }

  // Only refusals count: however many hosts are set up behind one address, and whoever else is behind it, valid tokens are never
  // slowed down.
  async #limited<T>(remote: string, request: identityPb.JoinRequest, admit: () => Promise<T>): Promise<T> {
    const now = this.#deps.clock.monotonicMs()
    const network = networkOf(remote)
    if (this.#refusals.left(network, now) < 1 && !isTokenKnown(request, this.#deps.store)) {
      this.#count('refused')
      this.#deps.metrics?.hit('join_refusals', { remote, limit: REFUSALS.burst })
      throw new WarrenError(ErrorCode.LimitExceeded, `too many refused attempts to join from ${remote}`, {
        hint: 'Wait a minute, and check the token.'
      })
    }
    try {
      const admitted = await admit()
      this.#count('admitted')
      return admitted
    } catch (err) {
      this.#count('refused')
      this.#refusals.use(network, 1, now)
      this.#deps.events?.emit('join-refused', { remote, reason: WarrenError.from(err).code })
      throw err
    }
  }

  #count(result: 'admitted' | 'refused'): void {
    this.#deps.metrics?.count('warren_joins_total', { result })
  }

  #current(): AgentCertificate {
    if (this.#agent === undefined) throw new WarrenError(ErrorCode.NotReady, 'the agent has no certificate yet')
    return this.#agent
  }
}

// Read with the reader's own code: an error here is better than "damaged" on the host that is to join.
function requireUsable(token: string, nowMs: number): void {
  try {
    parseJoinToken(token, nowMs)
  } catch {
    // The cause is left out, because it could quote the secret.
    throw new WarrenError(ErrorCode.InvalidArgument, 'no host could join with such a token', {
      hint: 'This host needs an address under which it can be reached: give one with --advertise.'
    })
  }
}

function notAuthority(): WarrenError {
  return new WarrenError(ErrorCode.NotAuthority, 'this host cannot admit others', {
    hint: 'Run the command on an authority: the host that founded the trust domain, or one added by `warren authority add`.'
  })
}
